// What every page needs: its tables, and numbers in writing. A page looks up what npstn computed, and draws it; it
// computes nothing itself. The page holds `contents`, what is where and in words, and `tables`, typed arrays of rows.
// Bokeh runs this, and behind it the script of the page, once its figures are there.

const element = name => document.getElementById(name)
const contents = JSON.parse(element("contents").textContent)
let tables // by name; see `unpack`

async function unpack() {
  const packed = Uint8Array.from(atob(element("tables").textContent), character => character.charCodeAt(0))
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))
  const buffer = await new Response(stream).arrayBuffer()
  const kinds = {uint8: Uint8Array, int16: Int16Array, float32: Float32Array, float64: Float64Array}
  return Object.fromEntries(contents.tables.map(({name, dtype, start, length}) =>
    [name, new kinds[dtype](buffer, start, length)]))
}

// The row of a table that belongs to a state.
const row = (name, n) => tables[name].subarray(n * contents.widths[name], (n + 1) * contents.widths[name])

function written(number, digits = 6) {
  if (!Number.isFinite(number)) return "not a number"
  const small = number != 0 && Math.abs(number) < 1e-3
  return (small ? number.toExponential(digits - 1) : number.toPrecision(digits)).replaceAll("-", "\u2212")
}

// Paint bytes, grey or red, green and blue, into an image of Bokeh.
function paint(source, bytes) {
  const pixels = source.data.image[0]
  const rgba = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength)
  for (let i = 0; i < rgba.length / 4; i++)
    for (let c = 0; c < 3; c++)
      rgba[4 * i + c] = bytes[contents.colour ? 3 * i + c : i]
  source.change.emit()
}

// A finger or the mouse drags on a figure; it gives each event here. `start` is true where the dragging begins.
const on_drag = move => window.dragged = event => move(event, event.event_name != "pan")
const nearest = (values, value) =>
  values.reduce((best, other, k) => Math.abs(other - value) < Math.abs(values[best] - value) ? k : best, 0)
