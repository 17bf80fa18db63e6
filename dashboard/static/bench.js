// A bench of bits: a slider a layer; every plan was judged beforehand, so nothing is asked of the server.
const SPACE = "http://www.w3.org/2000/svg", WIDE = 640, HIGH = 300, LEFT = 52, FOOT = 40
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

function shape(tag, about, text = "") {
    const e = document.createElementNS(SPACE, tag)
    for (const [name, value] of Object.entries(about)) e.setAttribute(name, value)
    if (text) e.textContent = text
    return e
}

function map(data, set) {
    const plans = Object.entries(data.plans), bits = plans.map(([, p]) => p.bits)
    const low = Math.min(...bits), high = Math.max(...bits), top = Math.max(5, ...plans.map(([, p]) => p.vd))
    const x = b => LEFT + (WIDE - LEFT - 16) * (b - low) / (high - low || 1)
    const y = v => 12 + (HIGH - FOOT - 12) * (1 - v / top)
    const svg = shape("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img",
        "aria-label": "Every allocation: average bits across, failing promises of 100 up" })
    for (let i = 0; i <= 4; i++) {
        const v = top * i / 4
        svg.append(shape("line", { x1: LEFT, x2: WIDE - 16, y1: y(v), y2: y(v), class: "grid" }),
            shape("text", { x: LEFT - 8, y: y(v) + 5, "text-anchor": "end" }, v.toFixed(0)))
    }
    for (let b = Math.ceil(low); b <= high; b++)
        svg.append(shape("text", { x: x(b), y: HIGH - 20, "text-anchor": "middle" }, b))
    svg.append(shape("text", { x: (WIDE + LEFT) / 2, y: HIGH - 5, "text-anchor": "middle" }, "average bits per weight"))
    for (const [plan, p] of plans) {
        const dot = shape("circle", { cx: x(p.bits), cy: y(p.vd), r: 5, class: "dot" })
        dot.append(shape("title", {}, `${plan}: ${p.says}`))
        dot.addEventListener("click", () => set(plan))
        svg.append(dot)
    }
    const here = shape("circle", { r: 9, class: "here" })
    const limit = shape("line", { y1: 8, y2: HIGH - FOOT, class: "limit" })
    svg.append(limit, here)
    return { svg, move: p => { here.setAttribute("cx", x(p.bits)); here.setAttribute("cy", y(p.vd)) },
        bound: b => { limit.setAttribute("x1", x(b)); limit.setAttribute("x2", x(b)) } }
}

function build(root, data) {
    const sliders = data.sizes.map((_, i) => make("input", { type: "range", min: 0, max: data.choices.length - 1,
        step: 1, id: `layer-${i}` }))
    const said = sliders.map((_, i) => make("output", { for: `layer-${i}` }))
    const facts = Object.fromEntries(["says", "matched", "shift", "bytes", "bits"].map(k => [k, make("strong")]))
    const set = plan => {
        plan.split("-").forEach((b, i) => { sliders[i].value = data.choices.indexOf(Number(b)) })
        paint()
    }
    const picture = map(data, set)
    const paint = () => {
        const plan = sliders.map(s => data.choices[s.value]).join("-"), p = data.plans[plan]
        sliders.forEach((s, i) => {
            said[i].textContent = `${data.choices[s.value]} bits`
            s.setAttribute("aria-valuetext", said[i].textContent)
        })
        for (const k of ["says", "matched", "shift", "bytes"]) facts[k].textContent = p[k]
        facts.bits.textContent = `${p.bits.toFixed(2)} bits a weight`
        picture.move(p)
    }
    const budget = make("input", { type: "range", min: Math.min(...data.choices), max: Math.max(...data.choices),
        step: 0.25, value: data.now, id: "budget" })
    const within = make("output", { for: "budget" })
    const best = make("button", { type: "button", text: "Best plan within this budget" })
    const limit = () => { within.textContent = `${Number(budget.value)} bits`; picture.bound(Number(budget.value)) }
    budget.addEventListener("input", limit)
    const better = (a, b) => a[1].vd - b[1].vd || a[1].bits - b[1].bits
    best.addEventListener("click", () => {
        const fitting = Object.entries(data.plans).filter(([, p]) => p.bits <= Number(budget.value) + 1e-6)
        if (fitting.length) set(fitting.sort(better)[0][0])
    })
    const pick = make("select", { id: "plans" }, make("option", { text: "as a method chose it …", value: "" }),
        ...data.chosen.map(c => make("option", { value: c.plan, text: c.name })))
    pick.addEventListener("change", () => { if (pick.value) set(pick.value) })
    const fact = (label, e) => make("div", { on: "fact" }, make("span", { text: label }), e)
    root.replaceChildren(make("div", { on: "bench" },
        make("div", { on: "layers" }, ...sliders.map((s, i) => make("div", { on: "layer" },
            make("label", { for: `layer-${i}`, text: `Layer ${i + 1} (${data.sizes[i].toLocaleString("en")} weights)` }),
            s, said[i])),
            make("div", { on: "layer" }, make("label", { for: "budget", text: "Budget (average)" }), budget, within),
            make("div", { on: "line" }, best, make("label", { for: "plans", text: "or" }), pick)),
        make("div", { on: "facts", role: "status" }, fact("Promises that fail", facts.says),
            fact("The same at equal approvals", facts.matched), fact("Approvals", facts.shift),
            fact("Size", facts.bytes), fact("Average", facts.bits))),
        make("p", { on: "axis", text: "Every plan: of 100 promises so many fail" }), picture.svg, make("p", { on: "note", text: `${data.note} ${data.seeds}.` }))
    sliders.forEach(s => s.addEventListener("input", () => { pick.value = ""; paint() }))
    limit()
    set(data.start in data.plans ? data.start : Object.keys(data.plans)[0])
}

export default function ({ data, parentElement }) {
    const told = JSON.stringify(data)
    if (drawn.get(parentElement) === told) return
    build(parentElement.querySelector(".root"), data)
    drawn.set(parentElement, told)
}
