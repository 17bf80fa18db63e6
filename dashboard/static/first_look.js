// The first look: a slider of bits moves headline, icons, column and groups without asking the server. All words are
// given; text is set as text.
const PERSON = "m0-4.8a1.9 1.9 0 1 0 .01 0zm-2.7 6q0-1.7 1.7-1.7h2q1.7 0 1.7 1.7v2.7h-1.1v2.9h-3.2v-2.9h-1.1z"
const drawn = new WeakMap()

function make(tag, about = {}, ...children) {
    const e = document.createElement(tag)
    for (const [name, value] of Object.entries(about)) {
        if (name === "text") e.textContent = value
        else if (name === "on") e.className = value
        else e.setAttribute(name, value)
    }
    e.append(...children)
    return e
}

function people(side, label) {
    const space = "http://www.w3.org/2000/svg"
    const svg = document.createElementNS(space, "svg")
    svg.setAttribute("viewBox", "0 0 100 140")
    svg.setAttribute("role", "img")
    svg.setAttribute("aria-label", label)
    for (const [kind, from, to] of [["broken", 0, side.icons], ["kept", side.icons, 100]]) {
        const path = document.createElementNS(space, "path")
        let d = ""
        for (let i = from; i < to; i++) d += `M${5 + 10 * (i % 10)} ${7 + 14 * Math.floor(i / 10)}${PERSON}`
        path.setAttribute("d", d)
        path.setAttribute("class", kind)
        svg.append(path)
    }
    return svg
}

function side(of, bits) {
    const count = `${of.failing} of 100 fail`
    return make("a", { on: "side", href: of.link, title: "Open exactly these people", "aria-label":
            `${of.name} at ${bits} bits: ${count}, ${of.interval}, ${of.approvals}. Open these people` },
        make("span", { on: "name", text: of.name }),
        people(of, count),
        make("span", { on: "count", text: count }),
        make("span", { on: "small", text: of.interval }),
        make("span", { on: of.lenient ? "small warn" : "small", text: of.approvals + (of.lenient ? ": lenient" : "") }))
}

function block(look) {
    const both = make("div", { on: "both" }, side(look.mine, look.bits))
    if (look.best) both.append(side(look.best, look.bits))
    return make("section", { on: "block", "data-bits": look.bits },
        make("h2", { text: `${look.bits} bits` }), both)
}

function row(of, data) {
    const line = make("tr", of.code === data.chosen ? { on: "chosen" } : {},
        make("th", { scope: "row" }, make("span", { text: of.name }), make("code", { text: of.code })))
    for (const b of data.budgets) {
        const cell = of.cells[b], td = make("td", { "data-bits": b })
        if (cell) {
            td.style.setProperty("--share", Math.min(1, cell.share / 100 + (cell.share > 0 ? 0.06 : 0)).toFixed(3))
            td.append(make("a", { href: cell.link, title: cell.says, "aria-label": cell.says,
                text: cell.text + (cell.lenient ? "*" : "") }))
        } else td.textContent = "–"
        line.append(td)
    }
    line.append(make("td", { on: "least", text: of.least + (of.bought ? "*" : "") }))
    return line
}

function table(data) {
    const head = make("tr", {}, make("th", { scope: "col", text: "What was done to the model" }))
    for (const b of data.budgets) head.append(make("th", { scope: "col", "data-bits": b, text: `${b} bits` }))
    head.append(make("th", { scope: "col", text: "Fewest safe bits" }))
    return make("div", { on: "wide", tabindex: "0", role: "region", "aria-label": "Every method at every budget" },
        make("table", {}, make("thead", {}, head), make("tbody", {}, ...data.table.map(of => row(of, data)))))
}

function bars(look) {
    return look.groups.map(g => make("a", { on: "bar", href: g.link, title: "Open exactly these people" },
        make("span", { on: "label", text: g.name }),
        make("span", { on: "track" }, make("span", { on: "fill", style: `width:${g.share}%` })),
        make("span", { on: "value", text: `${g.text} of 100` })))
}

function build(root, data, tell) {
    const slider = make("input", { type: "range", min: 0, max: data.looks.length - 1, step: 1, id: "bits" })
    const parts = { slider, line: make("p", { on: "line" }), other: make("p", { on: "other" }),
        said: make("output", { for: "bits" }), groups: make("div", { on: "groups" }), who: make("h2", {}) }
    const control = make("div", { on: "control" }, make("label", { for: "bits", text: "Bits per weight" }), slider,
        parts.said)
    root.replaceChildren(make("div", { on: "verdict", role: "status" }, parts.line, parts.other))
    if (data.looks.length > 1) root.append(control)
    root.append(
        make("div", { on: "blocks" }, ...data.looks.map(block)),
        make("p", { on: "note", text: data.note }),
        make("h2", { text: "Every method: how many of 100 promises fail" }), table(data),
        make("p", { on: "note", text: data.legend }), parts.who, parts.groups)
    let timer = 0
    slider.addEventListener("input", () => paint(root, data, parts))
    slider.addEventListener("change", () => {
        clearTimeout(timer)
        timer = setTimeout(() => tell("budget", data.looks[slider.value].bits), 120)
    })
    return parts
}

function paint(root, data, parts) {
    const look = data.looks[parts.slider.value]
    parts.slider.setAttribute("aria-valuetext", `${look.bits} bits`)
    parts.said.textContent = `${look.bits} bits`
    parts.line.textContent = look.line
    parts.line.dataset.verdict = look.verdict
    parts.other.textContent = look.other
    parts.who.textContent = look.groups.length ? `Who is hit at ${look.bits} bits` : ""
    parts.groups.replaceChildren(...bars(look))
    for (const e of root.querySelectorAll("[data-bits]")) e.classList.toggle("now", e.dataset.bits === look.bits)
}

export default function ({ data, parentElement, setStateValue }) {
    const root = parentElement.querySelector(".root")
    const ink = getComputedStyle(root).color.match(/\d+/g).map(Number)
    root.classList.toggle("dark", ink[0] + ink[1] + ink[2] > 380)
    const told = JSON.stringify(data), before = drawn.get(parentElement)
    if (before && before.told === told) return
    const focused = before && root.contains(parentElement.activeElement ?? document.activeElement)
        && (parentElement.activeElement ?? document.activeElement) === before.parts.slider
    const parts = build(root, data, setStateValue)
    parts.slider.value = Math.max(0, data.looks.findIndex(look => look.bits === data.now))
    paint(root, data, parts)
    if (focused) parts.slider.focus()
    drawn.set(parentElement, { told, parts })
}
