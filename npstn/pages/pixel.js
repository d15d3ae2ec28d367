// The page of one point between four pixels. The sources and figures of pixel.py are variables here.

const chosen = {image: 0, upstream: contents.upstream.indexOf(1), x: contents.start[0], y: contents.start[1]}
const {places, upstream, images, side} = contents

function show() {
  const n = chosen.y * places.length + chosen.x, states = places.length ** 2
  const of_image = chosen.image * states + n, of_point = (chosen.image * upstream.length + chosen.upstream) * states + n
  const x = places[chosen.x], y = places[chosen.y]
  const weights = row("weights", n), back = row("pixels", chosen.upstream * states + n)
  const [value] = row("values", of_image), [along_x, along_y] = row("slopes", of_point), gradient = row("gradients", of_point)
  const [tip_x, tip_y] = row("tips", of_point)
  const used = [...weights.keys()].filter(k => weights[k] > 0), U = images[chosen.image].values
  const centre = k => [k % side, Math.floor(k / side)]
  here.data = {x: [x], y: [y]}
  force.data = tip_x == x && tip_y == y ? {x0: [], y0: [], x1: [], y1: []} : {x0: [x], y0: [y], x1: [tip_x], y1: [tip_y]}
  frames.data = {x: used.map(k => centre(k)[0]), y: used.map(k => centre(k)[1])}
  areas.data = {x: used.map(k => centre(k)[0]), y: used.map(k => centre(k)[1]), below: used.map(k => centre(k)[1] + 0.47),
    side: used.map(k => row("sides", n)[k]),
    text: used.map(k => written(weights[k], 2))}
  const read = (at_x, at_y) => row("values", chosen.image * states + at_y * places.length + at_x)[0]
  across.data = {at: places, V: places.map((_, k) => read(k, chosen.y))}
  down.data = {at: places, V: places.map((_, k) => read(chosen.x, k))}
  marks.data = {at: [x, y], V: [value, value], colour: contents.colours}
  element("place").textContent = `(${x}, ${y})`
  element("value").textContent =
    used.map(k => `${written(weights[k], 4)} \u00b7 ${U[k]}`).join(" + ") + ` = ${written(value, 4)}`
  element("upstream").textContent = signed(upstream[chosen.upstream])
  element("pixels").textContent = used.map(k => `${written(back[k], 4)} at (${centre(k)})`).join(", ")
  element("along_x").textContent = `${written(along_x, 4)} per pixel`
  element("along_y").textContent = `${written(along_y, 4)} per pixel`
  element("gradient").textContent = `(${written(gradient[0], 4)}, ${written(gradient[1], 4)})`
  for (const [input, position, shown] of [[of_x, chosen.x, x], [of_y, chosen.y, y], [of_dV, chosen.upstream, upstream[chosen.upstream]]]) {
    input.value = position
    input.previousElementSibling.textContent = signed(shown)
  }
}

const signed = number => String(number).replace("-", "\u2212")

function change_image(number) {
  chosen.image = number
  for (const [k, button] of document.querySelectorAll("#images button").entries())
    button.setAttribute("aria-pressed", k == number)
  const {values, grey} = images[number]
  paint(given, grey)
  labels.data = {...labels.data, text: values.map(String), colour: grey.map(level => level > 140 ? "black" : "white")}
  show()
}

function slider(name, count, moved) {
  const label = document.createElement("label"), input = document.createElement("input")
  Object.assign(input, {type: "range", min: 0, max: count - 1, oninput: () => { moved(Number(input.value)); show() }})
  label.append(name, document.createElement("span"), input)
  element("sliders").append(label)
  return input
}

const of_x = slider("x", places.length, position => chosen.x = position)
const of_y = slider("y", places.length, position => chosen.y = position)
const of_dV = slider("dV", upstream.length, position => chosen.upstream = position)
on_drag(event => {
  chosen.x = nearest(places, event.x)
  chosen.y = nearest(places, event.y)
  show()
})
unpack().then(unpacked => {
  tables = unpacked
  images.forEach(({name}, k) => {
    const button = document.createElement("button")
    Object.assign(button, {type: "button", textContent: name, onclick: () => change_image(k)})
    element("images").append(button)
  })
  change_image(0)
})
