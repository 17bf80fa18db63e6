// Keeps the study in every address of the tab without an entry of its own in the browser's history: a step to another
// page stays one press of Back.
let study = ""
let push = null

function whole(url) {
    const to = new URL(url ?? location.href, location.href)
    if (study && to.origin === location.origin && !to.searchParams.get("study")) to.searchParams.set("study", study)
    return to
}

export default function ({ data }) {
    study = data.study
    if (push === null) {
        push = history.pushState.bind(history)
        history.pushState = (state, title, url) => {
            const to = whole(url)
            if (to.pathname + to.search === location.pathname + location.search) {
                history.replaceState(state, title, to)
            } else {
                push(state, title, to)
            }
        }
    }
    const here = whole()
    if (here.search !== location.search) history.replaceState(history.state, "", here)
}
