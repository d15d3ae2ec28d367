// The page of a run: a test image read at the parameters that its sliders, or its points, are moved to. The sources and
// figures of run.py are variables here.

const chosen = {digit: 0, slider: 0, place: []} // place: the position of the slider; those of a point, along x and y

const digit = () => contents.digits[chosen.digit]
const slider = () => digit().sliders[chosen.slider]
// The points of the spline that the chosen one belongs to: their numbers as sliders, and where the network chose them.
const fellows = () => [...digit().sliders.keys()].filter(k => digit().sliders[k].number == slider().number)
const centre = k => digit().sliders[k].positions.map(values => values[(values.length - 1) / 2])
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
  const [value] = row("losses", n)
  const slopes = row("slopes", n), quotients = row("quotients", n)
  paint(read, row("outputs", n))
  grid.data = {...grid.data, ...lines(row("grids", n))}
  forces.data = arrows(row("grids", n), row("tips", n))
  const p = row("probabilities", n)
  bars.data = {...bars.data, p: digit().bars.map(k => p[k])}
  if (of.curve) {
    const [x0, x1, y0, y1] = row("tangents", n)
    here.data = {x: at, loss: [value], slope: [slopes[0]]}
    tangent.data = {x: [x0, x1], y: [y0, y1]}
    if (at[0] < loss.x_range.start || at[0] > loss.x_range.end) // it has left the part with single kinks
      zoom(false)
  } else {
    const places = fellows().map(k => k == chosen.slider ? at : centre(k))
    const size = fellows().map(k => k == chosen.slider ? 17 : 11)
    handles.data = {x: places.map(([x]) => x), y: places.map(([, y]) => y), size}
    here.data = {x: [at[0]], y: [at[1]]}
  }
  const write = numbers => Array.from(numbers, number => written(number)).join(", ")
  element("position").textContent = `${of.name}${of.curve ? "" : " at"} ${write(at)}${of.unit}`
  element("words").textContent = contents.words[n]
  element("loss").textContent = written(value)
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
  const of = slider(), {states} = of
  if (of.curve) {
    const part = name => tables[name].subarray(of.curve.start, of.curve.start + of.curve.length)
    curve.data = {x: part("curve_values"), loss: part("curve_losses"), slope: part("curve_slopes")}
    differences.data = {x: of.positions[0], slope: tables.quotients.subarray(of.start, of.start + states)}
    for (const figure of [loss, slope])
      for (const axis of figure.below)
        axis.axis_label = of.name + (of.unit && ` (${of.unit.trim()})`)
    zoom(false)
  } else {
    const [xs, ys] = of.edges, losses = tables.losses.subarray(of.start, of.start + states)
    const column = k => k % of.positions[0].length, line = k => Math.floor(k / of.positions[0].length)
    const tile = edge => Array.from(losses, (_, k) => edge(k))
    colours.low = losses.reduce((least, loss) => Math.min(least, loss))
    colours.high = losses.reduce((most, loss) => Math.max(most, loss))
    along_x.data = {at: row("kinks_at", of.kinks), slope: row("kinks_slopes", of.kinks)}
    along_y.data = {at: row("kinks_at", of.kinks + 1), slope: row("kinks_slopes", of.kinks + 1)};
    [slope.y_range.start, slope.y_range.end] = of.view
    loss.x_range.start = xs[0], loss.x_range.end = xs.at(-1)
    loss.y_range.start = ys.at(-1), loss.y_range.end = ys[0] // y goes down
    tiles.data = {left: tile(k => xs[column(k)]), right: tile(k => xs[column(k) + 1]),
      top: tile(k => ys[line(k)]), bottom: tile(k => ys[line(k) + 1]), loss: losses}
  }
  element("chosen").textContent = contents.words[of.start + (of.states - 1) / 2]
  for (const [k, button] of document.querySelectorAll("#transformers button").entries())
    button.setAttribute("aria-pressed", k == of.number)
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
    button.setAttribute("aria-pressed", k == number)
  paint(given, row("inputs", number))
  bars.data = {x: digit().bars.map(k => contents.names[k]), p: digit().bars.map(() => 0),
    colour: digit().bars.map(k => k == digit().label ? contents.right : contents.wrong)}
  names.factors = bars.data.x
  element("truth").textContent = digit().truth
  choose(chosen.slider)
}

// The point nearest to the finger follows it to the nearest of its places.
on_drag((event, start) => {
  const distance = k => Math.hypot(centre(k)[0] - event.x, centre(k)[1] - event.y)
  if (start)
    choose(fellows().reduce((best, k) => distance(k) < distance(best) ? k : best))
  const [xs, ys] = slider().positions
  chosen.place = [nearest(xs, event.x), nearest(ys, event.y)]
  show()
})

unpack().then(unpacked => {
  tables = unpacked
  contents.digits.forEach(({title}, k) => {
    const button = document.createElement("button")
    Object.assign(button, {type: "button", textContent: title, onclick: () => change_digit(k)})
    element("digits").append(button)
  })
  if (contents.digits[0].sliders[0].curve)
    contents.digits[0].sliders.forEach(({name, positions}, k) => {
      const label = document.createElement("label")
      label.append(name, document.createElement("span"))
      const input = document.createElement("input")
      Object.assign(input, {type: "range", min: 0, max: positions[0].length - 1, oninput: () => {
        if (k == chosen.slider) { chosen.place = [Number(input.value)]; show() }
        else choose(k, [Number(input.value)])
      }})
      label.append(input)
      element("sliders").append(label)
    })
  const several = new Set(contents.digits[0].sliders.map(({number}) => number))
  if (several.size > 1 && !contents.digits[0].sliders[0].curve) // their points would lie over each other
    several.forEach(number => {
      const button = document.createElement("button")
      const first = contents.digits[0].sliders.findIndex(other => other.number == number)
      Object.assign(button, {type: "button", textContent: `transformer ${number + 1}`, onclick: () => choose(first)})
      element("transformers").append(button)
    })
  const many = document.querySelectorAll("#sliders label").length > 2 || contents.digits.length > 6
  document.querySelector(".controls").classList.toggle("many", many)
  element("found").onclick = () => choose(chosen.slider)
  if (element("zoom"))
    element("zoom").onclick = ({target}) => zoom(target.getAttribute("aria-pressed") != "true")
  change_digit(0)
})
