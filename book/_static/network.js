/* The convnet of lesson 05 in the browser: draw a digit, see every layer, look into every unit.
   The weights come from network_data.js, which tools/export_network.py writes. */
const Network = (() => {
  "use strict";

  /* ---- arithmetic ---- */

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const size = (shape) => shape.reduce((product, n) => product * n, 1);

  /* The layers of the data, each with its kernel and bias as Float32Arrays. */
  function load(data) {
    const all = new Float32Array(bytes(data.weights).buffer);
    let at = 0;
    const take = (count) => all.subarray(at, (at += count));
    return data.layers.map((layer) =>
      layer.kernel
        ? { ...layer, weights: take(size(layer.kernel)), bias: take(layer.kernel.at(-1)) }
        : layer,
    );
  }

  /* Arrays are in Keras's order: a map of shape [h, w, c] has its channels last. */
  const OPERATIONS = {
    Conv2D(
      { kernel: [kh, kw, inputs, filters], weights, bias, output: [h, w] },
      values,
      [, width],
    ) {
      const sums = new Float32Array(h * w * filters);
      for (let r = 0; r < h; r += 1) {
        for (let c = 0; c < w; c += 1) {
          const sum = Float64Array.from(bias);
          for (let i = 0; i < kh; i += 1) {
            for (let j = 0; j < kw; j += 1) {
              for (let k = 0; k < inputs; k += 1) {
                const value = values[((r + i) * width + c + j) * inputs + k];
                if (value === 0) continue;
                const start = ((i * kw + j) * inputs + k) * filters;
                for (let f = 0; f < filters; f += 1) sum[f] += value * weights[start + f];
              }
            }
          }
          sums.set(sum, (r * w + c) * filters);
        }
      }
      return sums;
    },
    MaxPooling2D({ pool: [ph, pw], output: [h, w, channels] }, values, [, width]) {
      const largest = new Float32Array(h * w * channels).fill(-Infinity);
      for (let r = 0; r < h * ph; r += 1) {
        for (let c = 0; c < w * pw; c += 1) {
          for (let k = 0; k < channels; k += 1) {
            const to = (Math.floor(r / ph) * w + Math.floor(c / pw)) * channels + k;
            largest[to] = Math.max(largest[to], values[(r * width + c) * channels + k]);
          }
        }
      }
      return largest;
    },
    Flatten: (layer, values) => values,
    Dense({ kernel: [inputs, units], weights, bias }, values) {
      const sums = Float64Array.from(bias);
      for (let i = 0; i < inputs; i += 1) {
        for (let u = 0; u < units; u += 1) sums[u] += values[i] * weights[i * units + u];
      }
      return Float32Array.from(sums);
    },
  };

  const ACTIVATIONS = {
    relu: (sums) => sums.map((sum) => Math.max(sum, 0)),
    softmax(sums) {
      const top = Math.max(...sums);
      const powers = Array.from(sums, (sum) => Math.exp(sum - top));
      const total = powers.reduce((a, b) => a + b, 0);
      return Float32Array.from(powers, (power) => power / total);
    },
  };

  /* Return what each layer gives for an image of 28x28 numbers from 0 to 1: a list of
     {shape, values, sums}; sums are the values before the activation. */
  function forward(layers, image) {
    let [values, shape] = [image, [28, 28, 1]];
    return layers.map((layer) => {
      const sums = OPERATIONS[layer.kind](layer, values, shape);
      values = layer.activation ? ACTIVATIONS[layer.activation](sums) : sums;
      shape = layer.output;
      return { shape, values, sums };
    });
  }

  /* The square of the image [top, left, size] that one unit of a layer can see. */
  function fieldOf(layers, index, row, column) {
    if (layers.slice(0, index + 1).some((layer) => layer.kind === "Flatten")) return [0, 0, 28];
    let [top, left, side] = [row, column, 1];
    for (let i = index; i >= 0; i -= 1) {
      const { kind, kernel, pool } = layers[i];
      const [stride, span] = kind === "Conv2D" ? [1, kernel[0]] : [pool[0], pool[0]];
      [top, left, side] = [top * stride, left * stride, (side - 1) * stride + span];
    }
    return [top, left, side];
  }

  /* Put a drawing (an ImageData, ink in the alpha channel) where MNIST puts its digits: the ink
     is scaled to a box of 20x20 and its centre of mass moved to the middle of 28x28. */
  function prepare(drawing) {
    const { width, height, data } = drawing;
    let [top, left, bottom, right] = [height, width, -1, -1];
    for (let r = 0; r < height; r += 1) {
      for (let c = 0; c < width; c += 1) {
        if (data[(r * width + c) * 4 + 3] < 32) continue;
        [top, bottom] = [Math.min(top, r), Math.max(bottom, r)];
        [left, right] = [Math.min(left, c), Math.max(right, c)];
      }
    }
    const image = new Float32Array(784);
    if (bottom < 0) return image;
    const scale = 20 / Math.max(bottom - top + 1, right - left + 1);
    let [ink, down, across] = [0, 0, 0];
    for (let r = top; r <= bottom; r += 1) {
      for (let c = left; c <= right; c += 1) {
        const alpha = data[(r * width + c) * 4 + 3];
        [ink, down, across] = [ink + alpha, down + alpha * r, across + alpha * c];
      }
    }
    const [middleRow, middleColumn] = [down / ink, across / ink];
    for (let r = top; r <= bottom; r += 1) {
      for (let c = left; c <= right; c += 1) {
        const row = Math.floor((r - middleRow) * scale + 14);
        const column = Math.floor((c - middleColumn) * scale + 14);
        if (row < 0 || row > 27 || column < 0 || column > 27) continue;
        image[row * 28 + column] += (data[(r * width + c) * 4 + 3] / 255) * scale * scale;
      }
    }
    return image.map((value) => Math.min(value, 1));
  }

  return { bytes, load, forward, fieldOf, prepare };
})();

(() => {
  "use strict";

  const root = document.getElementById("network");
  if (!root) return;

  const layers = Network.load(NetworkData);
  const pictures = Network.bytes(NetworkData.images);
  const sample = (index) =>
    Float32Array.from(pictures.subarray(784 * index, 784 * (index + 1)), (byte) => byte / 255);
  const shown = layers
    .map((layer, index) => ({ layer, index }))
    .filter(({ layer }) => layer.kind !== "Flatten");
  const counts = {};
  const NAMES = Object.fromEntries(
    shown.map(({ layer, index }) => {
      const word = { Conv2D: "convolution", MaxPooling2D: "max pooling", Dense: "dense layer" }[
        layer.kind
      ];
      counts[word] = (counts[word] ?? 0) + 1;
      return [index, layer.activation === "softmax" ? "answer" : `${word} ${counts[word]}`];
    }),
  );
  const number = (value) => value.toFixed(2).replace("-", "−");

  /* ---- state ---- */

  let image; // what the network sees: 784 numbers from 0 to 1
  let outputs = [];
  let looked = null; // the unit under the mouse or the keyboard: {index, map, row, column}
  const nextOf = Array(10).fill(0);

  /* ---- drawing on the page ---- */

  const INK = 280;
  const pad = makeElement("canvas", {
    width: INK,
    height: INK,
    class: "net-pad",
    "aria-label": "Draw a digit here with mouse or finger",
    role: "img",
  });
  const brush = pad.getContext("2d", { willReadFrequently: true });
  const input = makeElement("canvas", {
    width: 28,
    height: 28,
    class: "net-input",
    role: "img",
    "aria-label": "What the network sees, 28 by 28",
  });
  const answer = makeElement("p", { class: "net-answer", "aria-live": "polite" });
  const bars = makeElement("table", { class: "net-bars" });
  const inspector = makeElement("div", { class: "net-inspector" });
  const said = makeElement(
    "p",
    { class: "net-said", "aria-live": "polite" },
    "Move over a map, or tab to it and use the arrow keys, to see the window and the kernel that made a unit.",
  );

  function stroke(event) {
    const box = pad.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top].map(
      (d) => (d * INK) / box.width,
    );
    brush.lineTo(x, y);
    brush.stroke();
    image = Network.prepare(brush.getImageData(0, 0, INK, INK));
    soon();
  }
  pad.addEventListener("pointerdown", (event) => {
    if (!pad.classList.contains("net-drawn")) clear();
    pad.classList.add("net-drawn");
    pad.setPointerCapture(event.pointerId);
    Object.assign(brush, {
      lineWidth: 22,
      lineCap: "round",
      lineJoin: "round",
      strokeStyle: "#fff",
    });
    brush.beginPath();
    stroke(event);
    stroke(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.buttons && pad.hasPointerCapture(event.pointerId)) stroke(event);
  });

  let waiting = false;
  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      update();
    });
  }

  function clear() {
    brush.clearRect(0, 0, INK, INK);
    image = new Float32Array(784);
    soon();
  }

  function choose(index) {
    pad.classList.remove("net-drawn");
    image = sample(index);
    const small = grey(image, 28, 28);
    brush.clearRect(0, 0, INK, INK);
    brush.imageSmoothingEnabled = false;
    brush.drawImage(small, 0, 0, INK, INK);
    update();
  }

  /* A canvas of h x w pixels; brightness from 0 to 1. */
  function grey(values, h, w) {
    const canvas = makeElement("canvas", { width: w, height: h });
    const data = new ImageData(w, h);
    for (let i = 0; i < h * w; i += 1)
      data.data.fill(Math.round(255 * values[i]), 4 * i, 4 * i + 3);
    for (let i = 3; i < data.data.length; i += 4) data.data[i] = 255;
    canvas.getContext("2d").putImageData(data, 0, 0);
    return canvas;
  }

  /* ---- layers ---- */

  /* How the maps of a layer are laid out: [rows, columns] of maps, and pixels for each unit. */
  function layout([h, w, c]) {
    if (w === undefined) return { h: 1, w: 1, c: h, columns: h === 10 ? 10 : 16, unit: 18, gap: 2 };
    return { h, w, c, columns: c === 32 ? 8 : 16, unit: Math.max(1, Math.round(30 / h)), gap: 2 };
  }

  const canvases = new Map();

  function build() {
    const digits = Array.from({ length: 10 }, (_, digit) =>
      makeElement(
        "button",
        {
          type: "button",
          class: "course-button",
          "aria-label": `A ${digit} from the test set`,
          onclick: () => {
            choose(digit * 10 + (nextOf[digit]++ % 10));
          },
        },
        String(digit),
      ),
    );
    const maps = shown.map(({ layer, index }) => {
      const box = layout(layer.output);
      const rows = Math.ceil(box.c / box.columns);
      const canvas = makeElement("canvas", {
        class: "net-maps",
        tabindex: 0,
        role: "application",
        width: box.columns * (box.w * box.unit + box.gap),
        height: rows * (box.h * box.unit + box.gap),
        "aria-label": `${NAMES[index]}: ${layer.output.join("×")}. Arrow keys move over the units, page keys over the maps.`,
        onpointermove: (event) => point(event, index),
        onpointerdown: (event) => point(event, index),
        onkeydown: (event) => move(event, index),
        onfocus: () => {
          if (looked?.index !== index)
            look({ index, map: 0, row: Math.floor(box.h / 2), column: Math.floor(box.w / 2) });
        },
      });
      canvases.set(index, canvas);
      return makeElement(
        "figure",
        {},
        makeElement("figcaption", {}, `${NAMES[index]}, ${layer.output.join("×")}`),
        canvas,
      );
    });
    root.classList.add("network");
    root.replaceChildren(
      makeElement(
        "div",
        { class: "net-top" },
        makeElement(
          "div",
          {},
          pad,
          makeElement(
            "button",
            {
              type: "button",
              class: "course-button",
              onclick: () => {
                pad.classList.add("net-drawn");
                clear();
              },
            },
            "Clear",
          ),
        ),
        makeElement("div", { class: "net-right" }, answer, bars),
      ),
      makeElement(
        "div",
        { class: "net-digits", role: "group", "aria-label": "A digit from the test set" },
        "From the test set: ",
        ...digits,
      ),
      makeElement(
        "div",
        { class: "net-look" },
        makeElement("figure", {}, makeElement("figcaption", {}, "What the network sees"), input),
        makeElement("div", {}, said, inspector),
      ),
      ...maps,
    );
  }

  function drawMaps(index) {
    const { h, w, c, columns, unit, gap } = layout(layers[index].output);
    const { values } = outputs[index];
    const top = Math.max(...values, 1e-9);
    const context = canvases.get(index).getContext("2d");
    const { width, height } = context.canvas;
    context.fillStyle = "#777";
    context.fillRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    for (let map = 0; map < c; map += 1) {
      const one = Float32Array.from({ length: h * w }, (_, i) => values[i * c + map] / top);
      const [x, y] = [
        (map % columns) * (w * unit + gap),
        Math.floor(map / columns) * (h * unit + gap),
      ];
      context.drawImage(grey(one, h, w), x, y, w * unit, h * unit);
      if (looked?.index === index && looked.map === map) {
        context.strokeStyle = "#ff7a1a";
        context.lineWidth = 2;
        context.strokeRect(
          x + looked.column * unit - 1,
          y + looked.row * unit - 1,
          unit + 2,
          unit + 2,
        );
      }
    }
  }

  function update() {
    outputs = Network.forward(layers, image);
    const probabilities = outputs.at(-1).values;
    const best = probabilities.indexOf(Math.max(...probabilities));
    const blank = image.every((value) => value === 0);
    answer.textContent = blank
      ? "Draw a digit, or take one from the test set."
      : `The network answers ${best}, with probability ${probabilities[best].toFixed(3)}.`;
    bars.replaceChildren(
      makeElement("caption", {}, "Probability of each digit"),
      ...Array.from(probabilities, (p, digit) =>
        makeElement(
          "tr",
          digit === best && !blank ? { class: "net-best" } : {},
          makeElement("th", { scope: "row" }, String(digit)),
          makeElement(
            "td",
            {},
            makeElement("span", { class: "net-bar", style: `width:${(100 * p).toFixed(1)}%` }),
          ),
          makeElement("td", {}, p.toFixed(3)),
        ),
      ),
    );
    for (const { index } of shown) drawMaps(index);
    drawInput();
    if (looked) inspect();
  }

  function drawInput() {
    const context = input.getContext("2d");
    context.drawImage(grey(image, 28, 28), 0, 0);
    if (!looked) return;
    const [top, left, side] = Network.fieldOf(layers, looked.index, looked.row, looked.column);
    context.strokeStyle = "#ff7a1a";
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, side - 1, side - 1);
  }

  /* ---- looking into a unit ---- */

  function point(event, index) {
    const canvas = canvases.get(index);
    const { h, w, c, columns, unit, gap } = layout(layers[index].output);
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * canvas.width) / box.width;
    const y = ((event.clientY - box.top) * canvas.height) / box.height;
    const [across, down] = [Math.floor(x / (w * unit + gap)), Math.floor(y / (h * unit + gap))];
    const map = down * columns + across;
    const column = Math.min(Math.floor((x - across * (w * unit + gap)) / unit), w - 1);
    const row = Math.min(Math.floor((y - down * (h * unit + gap)) / unit), h - 1);
    if (across < columns && map < c && row >= 0 && column >= 0) look({ index, map, row, column });
  }

  function move(event, index) {
    const { h, w, c, columns } = layout(layers[index].output);
    const { map, row, column } = looked?.index === index ? looked : { map: 0, row: 0, column: 0 };
    const single = h === 1;
    const by = {
      ArrowLeft: single ? [-1, 0, 0] : [0, 0, -1],
      ArrowRight: single ? [1, 0, 0] : [0, 0, 1],
      ArrowUp: single ? [-columns, 0, 0] : [0, -1, 0],
      ArrowDown: single ? [columns, 0, 0] : [0, 1, 0],
      PageUp: [-1, 0, 0],
      PageDown: [1, 0, 0],
    }[event.key];
    if (!by) return;
    event.preventDefault();
    const inside = (value, top) => Math.max(0, Math.min(value, top - 1));
    look({
      index,
      map: inside(map + by[0], c),
      row: inside(row + by[1], h),
      column: inside(column + by[2], w),
    });
  }

  function look(unit) {
    if (looked && JSON.stringify(looked) === JSON.stringify(unit)) return;
    const old = looked?.index;
    looked = unit;
    if (old !== undefined && old !== unit.index) drawMaps(old);
    drawMaps(unit.index);
    drawInput();
    inspect();
  }

  /* The window of a unit as a list of channels, each a list of rows, with the same for its kernel. */
  function windowOf({ index, map, row, column }) {
    const layer = layers[index];
    let before = index - 1;
    if (before >= 0 && layers[before].kind === "Flatten") before -= 1;
    const values = before < 0 ? image : outputs[before].values;
    const shape = before < 0 ? [28, 28, 1] : layers[before].output;
    const [, width, channels] = shape.length === 3 ? shape : [1, 1, shape[0]];
    const grid = (h, w, read) =>
      Array.from({ length: h }, (_, i) => Array.from({ length: w }, (_, j) => read(i, j)));
    if (layer.kind === "Dense") {
      const units = layer.kernel[1];
      const [h, w] = shape.length === 3 ? shape : [1, 1];
      const flat = (i, j, k) => (i * w + j) * channels + k;
      return Array.from({ length: channels }, (_, k) => ({
        values: grid(h, w, (i, j) => values[flat(i, j, k)]),
        kernel: grid(h, w, (i, j) => layer.weights[flat(i, j, k) * units + map]),
      }));
    }
    if (layer.kind === "MaxPooling2D") {
      const [ph, pw] = layer.pool;
      return [
        {
          values: grid(
            ph,
            pw,
            (i, j) => values[((row * ph + i) * width + column * pw + j) * channels + map],
          ),
        },
      ];
    }
    const [kh, kw, inputs, filters] = layer.kernel;
    return Array.from({ length: inputs }, (_, k) => ({
      values: grid(kh, kw, (i, j) => values[((row + i) * width + column + j) * inputs + k]),
      kernel: grid(kh, kw, (i, j) => layer.weights[((i * kw + j) * inputs + k) * filters + map]),
    }));
  }

  /* Negative weights orange, positive ones blue, 0 white. */
  function tint(value, top) {
    const share = Math.min(Math.abs(value) / (top || 1), 1);
    const [r, g, b] = value < 0 ? [213, 94, 0] : [0, 114, 178];
    return `rgb(${[r, g, b].map((channel) => Math.round(255 - share * (255 - channel))).join(",")})`;
  }

  function tiles(grids, caption, colour) {
    const [h, w] = [grids[0].length, grids[0][0].length];
    const columns = h === 1 ? 16 : Math.min(grids.length, 16);
    const unit = grids.length === 1 ? 24 : h === 1 ? 12 : 6;
    const canvas = makeElement("canvas", {
      width: columns * (w * unit + 2),
      height: Math.ceil(grids.length / columns) * (h * unit + 2),
      class: "net-tiles",
      role: "img",
      "aria-label": caption,
    });
    const context = canvas.getContext("2d");
    grids.forEach((grid, k) =>
      grid.forEach((row, i) =>
        row.forEach((value, j) => {
          context.fillStyle = colour(value);
          context.fillRect(
            (k % columns) * (w * unit + 2) + j * unit,
            Math.floor(k / columns) * (h * unit + 2) + i * unit,
            unit,
            unit,
          );
        }),
      ),
    );
    return makeElement("figure", {}, makeElement("figcaption", {}, caption), canvas);
  }

  /* What the unit in question did, in words. */
  function sentence({ index, map, row, column }, numbers, weights) {
    const layer = layers[index];
    const { sums, values, shape } = outputs[index];
    const flat = shape.length === 1;
    const place = (flat ? 0 : shape[1] * row + column) * shape.at(-1) + map;
    const name = flat
      ? `${NAMES[index]}, unit ${map}`
      : `${NAMES[index]}, map ${map}, row ${row}, column ${column}`;
    if (!weights) {
      return `${name}. The largest of ${numbers.map(number).join(", ")} is ${number(values[place])}.`;
    }
    const products = numbers.map((value, i) => `${number(value)}·(${number(weights[i])})`);
    const work =
      products.length > 9 ? ` of ${products.length} products` : ` = ${products.join(" + ")}`;
    const end =
      layer.activation === "relu"
        ? `After ReLU: ${number(values[place])}.`
        : `After softmax: ${values[place].toFixed(3)}.`;
    return `${name}. Sum${work}, and the bias ${number(layer.bias[map])}: ${number(sums[place])}. ${end}`;
  }

  function inspect() {
    const parts = windowOf(looked);
    const grids = parts.map((part) => part.values);
    const numbers = grids.flat(2);
    const brightest = Math.max(...numbers, 1e-9);
    const figures = [
      tiles(grids, `window, ${dimensions(grids)} numbers`, (value) => {
        const level = Math.round((255 * value) / brightest);
        return `rgb(${level},${level},${level})`;
      }),
    ];
    const kernels = parts[0].kernel && parts.map((part) => part.kernel);
    if (kernels) {
      const top = Math.max(...kernels.flat(2).map(Math.abs));
      figures.push(
        tiles(kernels, "weights: orange below 0, blue above", (value) => tint(value, top)),
      );
    }
    said.textContent = sentence(looked, numbers, kernels?.flat(2));
    inspector.replaceChildren(...figures);
  }

  const dimensions = (grids) =>
    `${grids[0].length}×${grids[0][0].length}${grids.length > 1 ? `×${grids.length}` : ""}`;

  build();
  choose(70); // the first 7
})();
