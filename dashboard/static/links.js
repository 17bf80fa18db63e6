// A list of links inside the page's own tab; words are set as text.
export default function ({ data, parentElement }) {
    const root = parentElement.querySelector(".root")
    root.replaceChildren(...data.links.map(({ text, url }) => {
        const link = document.createElement("a")
        link.textContent = text
        link.href = url
        return link
    }))
}
