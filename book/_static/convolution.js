/* The arithmetic of lessons 01 to 03: sizes, padding, convolution and pooling of one map.
   No page is touched here; playground.js draws, and a test compares these functions with the
   lessons' NumPy functions on a thousand random settings. */
const Convolution = (() => {
  "use strict";

  /* A setting that cannot work. The message says why, and what would. */
  class Impossible extends Error {}

  const cells = (count) => (count === 1 ? "1 cell" : `${count} cells`);

  /* Cells from the first to the last that a kernel of k weights touches. */
  const reach = (k, dilation) => k + (k - 1) * (dilation - 1);

  /* Cells [before, after] that padding puts around n cells, as Keras does. */
  function padAmounts(n, k, stride, padding, dilation) {
    const span = reach(k, dilation);
    if (padding === "valid") return [0, 0];
    if (padding === "full") return [span - 1, span - 1];
    if (padding === "same") {
      const windows = Math.ceil(n / stride);
      const total = Math.max((windows - 1) * stride + span - n, 0);
      return [Math.floor(total / 2), Math.ceil(total / 2)];
    }
    return [padding, padding];
  }

  /* Places of the window on n cells, with all that the size formula needs. */
  function places(n, k, { stride, padding, dilation }) {
    const [before, after] = padAmounts(n, k, stride, padding, dilation);
    const span = reach(k, dilation);
    const free = before + n + after - span;
    if (free < 0) {
      throw new Impossible(
        `The window spans ${cells(span)}, but the input has ${cells(n)}` +
          (before + after ? ` and ${before + after} of padding` : "") +
          ". No window fits: take a larger input, a smaller kernel or dilation, or more padding.",
      );
    }
    const count = Math.floor(free / stride) + 1;
    return { n, before, after, span, stride, free, count, unseen: free - (count - 1) * stride };
  }

  function refuse({ operation, padding, dilation }) {
    if (operation === "convolution") return;
    if (padding !== "valid" && padding !== "same") {
      throw new Impossible(
        "Pooling has two paddings, valid and same. An added cell takes no part in a maximum or a " +
          "mean, so a window that sees only added cells would have no answer.",
      );
    }
    if (dilation !== 1) {
      throw new Impossible(
        "A pooling layer has no dilation. Set it to 1, or choose the convolution.",
      );
    }
  }

  /* One output: what its window holds, and the result. A cell of the padding has padded: true. */
  function look(setting, rows, columns, row, column) {
    const { input, kernel, operation, stride, dilation } = setting;
    const terms = [];
    kernel.forEach((weights, i) =>
      weights.forEach((weight, j) => {
        const r = row * stride - rows.before + i * dilation;
        const c = column * stride - columns.before + j * dilation;
        const value = input[r]?.[c];
        terms.push({ row: r, column: c, weight, value: value ?? 0, padded: value === undefined });
      }),
    );
    const real = terms.filter((term) => !term.padded).map((term) => term.value);
    const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
    const value =
      operation === "max"
        ? Math.max(...real)
        : operation === "average"
          ? sum(real) / real.length
          : sum(terms.map((term) => term.value * term.weight));
    return { row, column, terms, value };
  }

  /* Slide the window of a setting over its input.

     setting: operation ("convolution", "max" or "average"), input and kernel (lists of rows; for a
     pooling only the size of the kernel counts), stride, dilation, and padding ("valid", "same",
     "full" or a number). A single row is one-dimensional: it is never padded above and below.
     Returns rows and columns (see places) and outputs, a list of rows (see look).
     Throws Impossible. */
  function slide(setting) {
    refuse(setting);
    const { input, kernel } = setting;
    const flat = input.length === 1 && kernel.length === 1;
    const rows = places(
      input.length,
      kernel.length,
      flat ? { ...setting, padding: "valid" } : setting,
    );
    const columns = places(input[0].length, kernel[0].length, setting);
    const outputs = Array.from({ length: rows.count }, (_, row) =>
      Array.from({ length: columns.count }, (_, column) =>
        look(setting, rows, columns, row, column),
      ),
    );
    return { rows, columns, outputs, flat };
  }

  return { Impossible, slide };
})();
