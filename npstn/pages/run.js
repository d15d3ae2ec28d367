// The page of a run: a test image read at the parameters that its sliders, or its points, are moved to. The sources and
// figures of run.py are variables here.

const chosen = {digit: 0, slider: 0, place: []} // place: the position of the slider; those of a point, along x and y

const digit = () => contents.digits[chosen.digit]
const slider = () => digit().sliders[chosen.slider]
// Where the network chose the points of a spline to be.
const centres = () => digit().sliders.map(({positions}) => positions.map(values => values[(values.length - 1) / 2]))
const middle = of => of.positions.map(values => (values.length - 1) / 2)

// Points come as x, y, x, y ... in 64ths of a pixel, row by row.
function lines(points) {
  const {rows, columns} = contents
  const at = (i, j) => 2 * (i * columns + j)
  const range = n => Array.from({length: n}, (_, k) => k)
  const along = range(rows).map(i => range(columns).map(j => at(i, j)))
  const down = range(columns).map(j => range(rows).map(i => at(i, j)))
  const both = [...down, ...along]
  const pixels = offset => both.map(line => line.map(k => points[k + offset] / 64))
  return {xs: pixels(0), ys: pixels(1)}
}

function arrows(from, to) {
  const data = {x0: [], y0: [], x1: [], y1: []}
  for (let k = 0; k < from.length; k += 2)
    if (from[k] != to[k] || from[k + 1] != to[k + 1]) {
      data.x0.push(from[k] / 64), data.y0.push(from[k + 1] / 64)
      data.x1.push(to[k] / 64), data.y1.push(to[k + 1] / 64)
    }
  return data
}

// Everything that depends on where the slider, or the point, stands.
function show() {
  const of = slider(), {place} = chosen
  const n = of.start + place[0] + (place.length > 1 ? place[1] * of.positions[0].length : 0)
  const at = of.positions.map((values, axis) => values[place[axis]])
  const [loss] = row("losses", n)
  const slopes = row("slopes", n), quotients = row("quotients", n)
  paint(read, row("outputs", n))
  grid.data = {...grid.data, ...lines(row("grids", n))}
  forces.data = arrows(row("grids", n), row("tips", n))
  const p = row("probabilities", n)
  bars.data = {...bars.data, p: digit().bars.map(k => p[k])}
  if (of.curve) {
    const [x0, x1, y0, y1] = row("tangents", n)
    here.data = {x: at, loss: [loss], slope: [slopes[0]]}
    tangent.data = {x: [x0, x1], y: [y0, y1]}
  } else {
    const places = centres()
    places[chosen.slider] = at
    const size = places.map((_, k) => k == chosen.slider ? 17 : 11)
    handles.data = {x: places.map(([x]) => x), y: places.map(([, y]) => y), size}
    here.data = {x: [at[0]], y: [at[1]]}
  }
  const write = numbers => Array.from(numbers, number => written(number)).join(", ")
  element("position").textContent = `${of.name}${of.curve ? "" : " at"} ${write(at)}${of.unit}`
  element("words").textContent = contents.words[n]
  element("loss").textContent = written(loss)
  element("slope").textContent = `${write(slopes)} ${of.per}`
  element("quotient").textContent = `${write(quotients)} ${of.per}`
  for (const [k, input] of document.querySelectorAll("#sliders input").entries()) {
    const shown = digit().sliders[k], position = k == chosen.slider ? place[0] : middle(shown)[0]
    input.value = position
    input.previousElementSibling.textContent = written(shown.positions[0][position], 4) + shown.unit
  }
}

// Everything that depends on which slider, or point, was moved last.
function choose(number, place) {
  chosen.slider = number
  chosen.place = place ?? middle(slider())
  const of = slider(), states = of.positions.reduce((product, values) => product * values.length, 1)
  if (of.curve) {
    const part = name => tables[name].subarray(of.curve.start, of.curve.start + of.curve.length)
    curve.data = {x: part("curve_values"), loss: part("curve_losses"), slope: part("curve_slopes")}
    differences.data = {x: of.positions[0], slope: tables.quotients.subarray(of.start, of.start + states)}
    for (const figure of [loss, slope])
      for (const axis of figure.below)
        axis.axis_label = of.name + (of.unit && ` (${of.unit.trim()})`)
    zoom(false)
  } else {
    const [xs, ys] = of.positions, losses = tables.losses.subarray(of.start, of.start + states)
    map.data.image[0].set(losses)
    const step = [xs[1] - xs[0], ys[1] - ys[0]]
    map.data = {...map.data, x: [xs[0] - step[0] / 2], y: [ys[0] - step[1] / 2],
      dw: [step[0] * xs.length], dh: [step[1] * ys.length]}
  }
  show()
}

function zoom(close) {
  const {whole, near} = slider().curve, view = close ? near : whole
  for (const [figure, name] of [[loss, "loss"], [slope, "slope"]]) {
    [figure.x_range.start, figure.x_range.end] = view.x;
    [figure.y_range.start, figure.y_range.end] = view[name]
  }
  element("zoom").setAttribute("aria-pressed", close)
}

function change_digit(number) {
  chosen.digit = number
  for (const [k, button] of document.querySelectorAll("#digits button").entries())
    button.setAttribute("aria-checked", k == number)
  paint(given, row("inputs", number))
  bars.data = {x: digit().bars.map(k => contents.classes[k]), p: digit().bars.map(() => 0),
    colour: digit().bars.map(k => k == digit().label ? contents.right : contents.wrong)}
  probabilities.x_range.factors = bars.data.x
  element("truth").textContent = digit().truth
  element("chosen").textContent = contents.words[slider().start + (slider().states - 1) / 2]
  choose(chosen.slider)
}

// The point nearest to the finger follows it to the nearest of its places.
on_drag((event, start) => {
  const distance = ([x, y]) => Math.hypot(x - event.x, y - event.y), places = centres()
  if (start)
    choose(places.reduce((best, place, k) => distance(place) < distance(places[best]) ? k : best, 0))
  const [xs, ys] = slider().positions
  chosen.place = [nearest(xs, event.x), nearest(ys, event.y)]
  show()
})

unpack().then(unpacked => {
  tables = unpacked
  contents.digits.forEach(({title}, k) => {
    const button = document.createElement("button")
    Object.assign(button, {type: "button", role: "radio", textContent: title, onclick: () => change_digit(k)})
    element("digits").append(button)
  })
  if (contents.digits[0].sliders[0].curve)
    contents.digits[0].sliders.forEach(({name, positions}, k) => {
      const label = document.createElement("label")
      label.append(name, document.createElement("output"))
      const input = document.createElement("input")
      Object.assign(input, {type: "range", min: 0, max: positions[0].length - 1, oninput: () => {
        if (k == chosen.slider) { chosen.place = [Number(input.value)]; show() }
        else choose(k, [Number(input.value)])
      }})
      label.append(input)
      element("sliders").append(label)
    })
  document.querySelector(".controls").classList.toggle("many", document.querySelectorAll("#sliders label").length > 2)
  element("found").onclick = () => choose(chosen.slider)
  if (element("zoom"))
    element("zoom").onclick = ({target}) => zoom(target.getAttribute("aria-pressed") != "true")
  change_digit(0)
})
