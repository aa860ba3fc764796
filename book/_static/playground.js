/* The convolution playground: settings, the window, the sum as it is written on paper.

   An element <div class="playground"> becomes a playground. In a lesson, a link to an example of
   the playground page (playground.html#example) gets one below its paragraph. */
(() => {
  "use strict";

  const LIMITS = {
    rows: [1, 12],
    columns: [1, 12],
    kernelRows: [1, 5],
    kernelColumns: [1, 5],
    stride: [1, 6],
    dilation: [1, 4],
    amount: [0, 6],
  };
  const LABELS = {
    rows: "Input rows",
    columns: "Input columns",
    kernelRows: "Window rows",
    kernelColumns: "Window columns",
    stride: "Stride",
    dilation: "Dilation",
    amount: "Zeros on each side",
  };
  const OPERATIONS = { convolution: "convolution", max: "max pooling", average: "average pooling" };
  const PADDINGS = { valid: "valid (none)", same: "same", full: "full", number: "a number" };

  const PLAIN = { operation: "convolution", stride: 1, padding: "valid", dilation: 1 };
  const count = (rows, columns) =>
    Array.from({ length: rows }, (_, r) =>
      Array.from({ length: columns }, (_, c) => r * columns + c + 1),
    );
  const ones = (rows, columns) => Array.from({ length: rows }, () => Array(columns).fill(1));
  const SIGNAL = [[3, 1, 4, 1, 5, 9]];
  const KERNEL = [[1, 2, -1]];
  const GRID = [
    [3, 1, 0, 2],
    [5, 7, 9, 1],
    [8, 2, 6, 0],
    [4, 6, 1, 1],
  ];
  /* The names are anchors of the playground page; a test compares them. */
  const EXAMPLES = {
    "one-dimension": { ...PLAIN, input: SIGNAL, kernel: KERNEL },
    "two-dimensions": { ...PLAIN, input: count(3, 3), kernel: ones(2, 2) },
    "a-cross-on-four-by-four": {
      ...PLAIN,
      input: [
        [1, 0, 2, 1],
        [0, 3, 1, 0],
        [2, 1, 0, 1],
        [1, 0, 1, 2],
      ],
      kernel: [
        [0, 1, 0],
        [1, 1, 1],
        [0, 1, 0],
      ],
    },
    "same-with-an-even-kernel": {
      ...PLAIN,
      input: count(3, 3),
      kernel: ones(2, 2),
      padding: "same",
    },
    "a-stride-that-does-not-fit": { ...PLAIN, input: count(1, 6), kernel: ones(1, 3), stride: 2 },
    "the-same-stride-padded": {
      ...PLAIN,
      input: count(1, 6),
      kernel: ones(1, 3),
      stride: 2,
      padding: "same",
    },
    full: { ...PLAIN, input: count(3, 3), kernel: ones(3, 3), padding: "full" },
    "a-dilated-kernel": { ...PLAIN, input: SIGNAL, kernel: KERNEL, dilation: 2 },
    "max-pooling": { ...PLAIN, operation: "max", input: GRID, kernel: ones(2, 2), stride: 2 },
    "an-odd-size": {
      ...PLAIN,
      operation: "max",
      input: count(5, 5),
      kernel: ones(2, 2),
      stride: 2,
    },
    "average-at-the-border": {
      ...PLAIN,
      operation: "average",
      input: [
        [4, 3],
        [2, 1],
      ],
      kernel: ones(2, 2),
      padding: "same",
    },
  };
  const START = "two-dimensions";

  /* ---- text ---- */

  const show = (number) => String(Number(number.toFixed(3)) || 0).replace("-", "−");
  const factor = (number) => (number < 0 ? `(${show(number)})` : show(number));
  const nameOf = (output, flat) =>
    flat ? `y[${output.column}]` : `y[${output.row}, ${output.column}]`;

  function onPaper(output, operation, flat) {
    const real = output.terms.filter((term) => !term.padded);
    const values = real.map((term) => show(term.value));
    const work =
      operation === "max"
        ? `max(${values.join(", ")})`
        : operation === "average"
          ? `(${real.map((term) => factor(term.value)).join(" + ")}) / ${real.length}`
          : output.terms.map((term) => `${factor(term.value)}·${factor(term.weight)}`).join(" + ");
    return `${nameOf(output, flat)} = ${work} = ${show(output.value)}`;
  }

  function sizeLine(name, { n, before, after, span, stride, free, count: windows, unseen }) {
    const padding = before || after ? ` + ${before} + ${after}` : "";
    const line = `${name}: ⌊(${n}${padding} − ${span}) / ${stride}⌋ + 1 = ⌊${free} / ${stride}⌋ + 1 = ${windows}`;
    return unseen ? `${line} (${unseen} left over at the end)` : line;
  }

  /* ---- the setting as a link, and back ---- */

  /* Do what may be impossible; if it is, tell why. */
  function explained(action, tell) {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof Convolution.Impossible)) throw error;
      return tell(error.message);
    }
  }

  const rowsAsText = (rows) => rows.map((row) => row.join(",")).join(";");

  function toHash({ operation, input, kernel, stride, padding, dilation }) {
    return `op=${operation}&x=${rowsAsText(input)}&k=${rowsAsText(kernel)}&s=${stride}&p=${padding}&d=${dilation}`;
  }

  /* Read rows of numbers; spaces, commas and tabs part numbers, ; and line ends part rows. */
  function readRows(text, what, [, most]) {
    const rows = text
      .trim()
      .split(/[;\n]+/)
      .map((line) => line.trim().split(/[\s,]+/));
    const numbers = rows.map((row) => row.map((word) => Number(word.replace("−", "-"))));
    const bad = rows.flat().find((word, i) => word === "" || !Number.isFinite(numbers.flat()[i]));
    if (bad !== undefined) throw new Convolution.Impossible(`${what}: “${bad}” is not a number.`);
    const [first, other] = [
      numbers[0].length,
      numbers.find((row) => row.length !== numbers[0].length),
    ];
    if (other) {
      throw new Convolution.Impossible(
        `${what}: one row has ${first} numbers, another ${other.length}.`,
      );
    }
    if (numbers.length > most || first > most) {
      throw new Convolution.Impossible(
        `${what}: at most ${most} rows and ${most} columns fit on the page.`,
      );
    }
    return numbers;
  }

  function fromHash(hash) {
    const name = decodeURIComponent(hash.replace(/^#/, ""));
    if (EXAMPLES[name]) return { example: name, setting: structuredClone(EXAMPLES[name]) };
    if (!name.includes("=")) return null;
    const found = new URLSearchParams(name);
    const padding = found.get("p") ?? "valid";
    const setting = {
      operation: found.get("op") ?? "convolution",
      input: readRows(found.get("x") ?? "", "The input in the link", LIMITS.rows),
      kernel: readRows(found.get("k") ?? "", "The kernel in the link", LIMITS.kernelRows),
      stride: whole("stride", found.get("s") ?? "1"),
      dilation: whole("dilation", found.get("d") ?? "1"),
      padding: padding in PADDINGS && padding !== "number" ? padding : whole("amount", padding),
    };
    if (!(setting.operation in OPERATIONS)) {
      throw new Convolution.Impossible(
        `The link asks for “${setting.operation}”, which is not known here.`,
      );
    }
    return { example: "", setting };
  }

  function whole(name, text) {
    const [least, most] = LIMITS[name];
    const number = Number(text);
    if (text === "" || !Number.isInteger(number) || number < least || number > most) {
      const got = text === "" ? "nothing" : `“${text}”`;
      throw new Convolution.Impossible(
        `${LABELS[name]} must be a whole number from ${least} to ${most}; it is ${got}.`,
      );
    }
    return number;
  }

  /* Grow or cut a grid; old numbers stay, new cells get fill(row, column). */
  function resized(grid, rows, columns, fill) {
    return Array.from({ length: rows }, (_, r) =>
      Array.from({ length: columns }, (_, c) => grid[r]?.[c] ?? fill(r, c)),
    );
  }

  /* ---- the page ---- */

  let made = 0;

  class Playground {
    constructor(root, { setting, example, page }) {
      Object.assign(this, { root, setting, example, page, at: 0, timer: null, id: `pg${++made}` });
      this.build();
      this.attempt(() => this.fill());
    }

    /* -- built once -- */

    build() {
      const labelled = (name, label, control) => {
        this.fields[name] = control;
        control.id = `${this.id}-${name}`;
        return makeElement("div", {}, makeElement("label", { for: control.id }, label), control);
      };
      const field = (name) =>
        labelled(
          name,
          LABELS[name],
          makeElement("input", {
            type: "number",
            min: LIMITS[name][0],
            max: LIMITS[name][1],
            step: 1,
            inputmode: "numeric",
            oninput: () => this.change(),
          }),
        );
      const choice = (name, label, options) => {
        const select = makeElement("select", { onchange: () => this.change(name) });
        for (const [value, text] of Object.entries(options))
          select.append(makeElement("option", { value }, text));
        return labelled(name, label, select);
      };
      this.fields = {};
      const examples = { "": "your own" };
      for (const name of Object.keys(EXAMPLES)) examples[name] = name.replaceAll("-", " ");
      const amount = field("amount");
      this.amountField = amount;
      const button = (text, action, more = {}) =>
        makeElement(
          "button",
          { type: "button", class: "course-button", onclick: action, ...more },
          text,
        );

      this.inputGrid = makeElement("div", { class: "pg-grid pg-input", role: "img" });
      this.kernelGrid = makeElement("div", {
        class: "pg-grid pg-kernel",
        role: "group",
        "aria-label": "Kernel weights",
      });
      this.outputGrid = makeElement("div", {
        class: "pg-grid pg-output",
        role: "grid",
        "aria-label": "Output",
        onkeydown: (event) => this.move(event),
      });
      this.paper = makeElement("p", { class: "pg-paper" });
      this.sizes = makeElement("p", { class: "pg-sizes" });
      this.problem = makeElement("p", { class: "pg-problem", role: "alert" });
      this.words = makeElement("pre", {
        class: "pg-words",
        tabindex: 0,
        "aria-label": "All outputs as text",
      });
      this.playButton = button("Play", () => (this.timer ? this.stop() : this.play()));
      this.buttons = [
        button("Back", () => this.step(-1)),
        button("Step", () => this.step(1)),
        this.playButton,
      ];
      this.text = makeElement("textarea", {
        rows: 3,
        spellcheck: "false",
        id: `${this.id}-text`,
        oninput: () => this.typeInput(),
      });
      this.link = makeElement(
        "a",
        { class: "pg-link" },
        this.page ? "Link to this state" : "Open in the playground",
      );

      this.root.setAttribute("role", "group");
      this.root.setAttribute("aria-label", "Convolution playground");
      this.root.replaceChildren(
        makeElement(
          "details",
          { class: "pg-box", ...(this.page ? { open: true } : {}) },
          makeElement("summary", {}, "Settings"),
          makeElement(
            "div",
            { class: "pg-settings" },
            choice("example", "Example", examples),
            choice("operation", "Operation", OPERATIONS),
            field("rows"),
            field("columns"),
            field("kernelRows"),
            field("kernelColumns"),
            field("stride"),
            choice("padding", "Padding", PADDINGS),
            amount,
            field("dilation"),
          ),
          makeElement("label", { for: this.text.id }, "Input numbers, one row in each line"),
          this.text,
        ),
        makeElement(
          "div",
          { class: "pg-steps" },
          ...this.buttons,
          button("New numbers", () => this.shuffle()),
          this.link,
        ),
        this.problem,
        makeElement(
          "div",
          { class: "pg-stage" },
          makeElement("figure", {}, makeElement("figcaption", {}, "Input"), this.inputGrid),
          (this.kernelFigure = makeElement(
            "figure",
            {},
            makeElement("figcaption", {}, "Kernel"),
            this.kernelGrid,
          )),
          makeElement("figure", {}, makeElement("figcaption", {}, "Output"), this.outputGrid),
        ),
        this.paper,
        this.sizes,
        makeElement("details", {}, makeElement("summary", {}, "All outputs as text"), this.words),
      );
      this.root.addEventListener("focusout", () => this.quiet(false));
    }

    /* -- from the setting to the fields -- */

    fill() {
      const { input, kernel, padding } = this.setting;
      const named = typeof padding === "string";
      const values = {
        ...this.setting,
        rows: input.length,
        columns: input[0].length,
        kernelRows: kernel.length,
        kernelColumns: kernel[0].length,
        padding: named ? padding : "number",
        amount: named ? 1 : padding,
        example: this.example,
      };
      for (const [name, field] of Object.entries(this.fields)) field.value = values[name];
      this.text.value = input.map((row) => row.join(" ")).join("\n");
      this.fillKernel();
    }

    fillKernel() {
      const { kernel } = this.setting;
      this.kernelGrid.style.setProperty("--columns", kernel[0].length);
      this.kernelGrid.replaceChildren(
        ...kernel.flatMap((row, r) =>
          row.map((weight, c) =>
            makeElement("input", {
              type: "text",
              inputmode: "decimal",
              value: String(weight),
              "aria-label": `Weight row ${r}, column ${c}`,
              oninput: () => this.change(),
            }),
          ),
        ),
      );
    }

    /* -- from the fields to the setting -- */

    change(which) {
      this.stop();
      if (which === "example") {
        const name = this.fields.example.value;
        if (name) this.load({ example: name, setting: structuredClone(EXAMPLES[name]) });
        return;
      }
      this.attempt(() => {
        const size = {};
        for (const name of [
          "rows",
          "columns",
          "kernelRows",
          "kernelColumns",
          "stride",
          "dilation",
        ]) {
          size[name] = this.number(name);
        }
        const { kernel } = this.setting;
        const same = kernel.length === size.kernelRows && kernel[0].length === size.kernelColumns;
        const typed = same ? this.typedKernel() : kernel;
        const padding = this.fields.padding.value;
        this.setting = {
          operation: this.fields.operation.value,
          input: resized(
            this.setting.input,
            size.rows,
            size.columns,
            (r, c) => (3 * r + 7 * c + 1) % 10,
          ),
          kernel: resized(typed, size.kernelRows, size.kernelColumns, () => 1),
          stride: size.stride,
          dilation: size.dilation,
          padding: padding === "number" ? this.number("amount") : padding,
        };
        this.example = this.fields.example.value = "";
        this.text.value = this.setting.input.map((row) => row.join(" ")).join("\n");
        if (!same) this.fillKernel();
      });
    }

    number(name) {
      const field = this.fields[name];
      field.removeAttribute("aria-invalid");
      try {
        return whole(name, field.validity.badInput ? "no number" : field.value);
      } catch (error) {
        field.setAttribute("aria-invalid", "true");
        throw error;
      }
    }

    typedKernel() {
      const { kernel } = this.setting;
      const boxes = [...this.kernelGrid.children];
      const rows = kernel.map((row, r) =>
        row.map((_, c) => boxes[r * row.length + c].value.trim() || "nothing"),
      );
      return readRows(
        rows.map((row) => row.join(",")).join(";"),
        "A weight of the kernel",
        LIMITS.kernelRows,
      );
    }

    typeInput() {
      this.stop();
      this.attempt(() => {
        const input = readRows(this.text.value, "The input", LIMITS.rows);
        this.setting = { ...this.setting, input };
        this.fields.rows.value = input.length;
        this.fields.columns.value = input[0].length;
        this.example = this.fields.example.value = "";
      });
    }

    shuffle() {
      this.stop();
      const input = this.setting.input.map((row) => row.map(() => Math.floor(Math.random() * 10)));
      this.load({ example: "", setting: { ...this.setting, input } });
    }

    load({ setting, example }) {
      Object.assign(this, { setting, example, at: 0 });
      for (const field of Object.values(this.fields)) field.removeAttribute("aria-invalid");
      this.attempt(() => this.fill());
    }

    /* Do what may be impossible; then draw, or say why it cannot be drawn. */
    attempt(action) {
      explained(
        () => {
          action();
          this.update();
        },
        (message) => this.explain(message),
      );
    }

    /* -- drawing -- */

    update() {
      const pooling = this.setting.operation !== "convolution";
      this.kernelFigure.hidden = pooling;
      this.amountField.hidden = this.fields.padding.value !== "number";
      this.link.href = (this.page ? "" : playgroundPage()) + `#${toHash(this.setting)}`;
      if (this.page && this.all)
        history.replaceState(null, "", `#${this.example || toHash(this.setting)}`);
      this.result = Convolution.slide(this.setting);
      this.problem.textContent = "";
      for (const button of this.buttons) button.disabled = false;
      const { rows, columns, outputs, flat } = this.result;
      this.all = outputs.flat();
      this.at = Math.min(this.at, this.all.length - 1);
      this.drawInput();
      this.drawOutput();
      const lines = [sizeLine("columns", columns)];
      if (!flat) lines.unshift(sizeLine("rows", rows));
      this.sizes.replaceChildren(
        makeElement("b", {}, "Size "),
        ...lines.flatMap((line) => [makeElement("br"), line]),
      );
      this.words.textContent = this.all
        .map((output) => onPaper(output, this.setting.operation, flat))
        .join("\n");
      this.select(this.at);
    }

    explain(message) {
      this.stop();
      this.problem.textContent = message;
      this.amountField.hidden = this.fields.padding.value !== "number";
      for (const button of this.buttons) button.disabled = true;
      this.outputGrid.replaceChildren();
      this.paper.textContent = this.sizes.textContent = this.words.textContent = "";
      for (const cell of this.inputGrid.children) cell.classList.remove("pg-seen");
    }

    drawInput() {
      const { rows, columns } = this.result;
      const { input, operation } = this.setting;
      const width = columns.before + columns.n + columns.after;
      const padding = operation === "convolution" ? "0" : "";
      this.inputCells = new Map();
      const cells = [];
      for (let r = -rows.before; r < rows.n + rows.after; r += 1) {
        for (let c = -columns.before; c < columns.n + columns.after; c += 1) {
          const value = input[r]?.[c];
          const padded = value === undefined;
          const cell = makeElement(
            "span",
            { class: padded ? "pg-cell pg-padded" : "pg-cell" },
            padded ? padding : show(value),
          );
          this.inputCells.set(`${r},${c}`, cell);
          cells.push(cell);
        }
      }
      this.inputGrid.style.setProperty("--columns", width);
      const rowsText = input.map((row) => row.map(show).join(" ")).join("; ");
      this.inputGrid.setAttribute("aria-label", `Input, row by row: ${rowsText}`);
      this.inputGrid.replaceChildren(...cells);
    }

    drawOutput() {
      const { outputs, columns } = this.result;
      this.outputGrid.style.setProperty("--columns", columns.count);
      this.outputGrid.setAttribute("aria-rowcount", outputs.length);
      this.outputCells = [];
      this.outputGrid.replaceChildren(
        ...outputs.map((row) =>
          makeElement(
            "div",
            { role: "row", class: "pg-row" },
            ...row.map((output) => {
              const index = this.outputCells.length;
              const cell = makeElement(
                "span",
                {
                  class: "pg-cell",
                  role: "gridcell",
                  tabindex: -1,
                  onpointerenter: () => {
                    this.stop();
                    this.select(index);
                  },
                  onclick: () => {
                    this.stop();
                    this.select(index);
                  },
                  onfocus: () => {
                    if (!this.timer) this.select(index);
                  },
                },
                show(output.value),
              );
              this.outputCells.push(cell);
              return cell;
            }),
          ),
        ),
      );
    }

    /* Show what output number ``at`` saw. */
    select(at) {
      for (const cell of this.inputCells.values()) cell.classList.remove("pg-seen");
      this.outputCells[this.at]?.classList.remove("pg-made");
      this.outputCells[this.at]?.setAttribute("tabindex", "-1");
      this.at = at;
      const output = this.all[at];
      for (const { row, column } of output.terms)
        this.inputCells.get(`${row},${column}`).classList.add("pg-seen");
      const cell = this.outputCells[at];
      cell.classList.add("pg-made");
      cell.setAttribute("tabindex", "0");
      const line = onPaper(output, this.setting.operation, this.result.flat);
      cell.setAttribute("aria-label", line);
      this.paper.textContent = line;
    }

    /* -- stepping -- */

    step(by) {
      this.stop();
      this.quiet(true);
      this.select((this.at + by + this.all.length) % this.all.length);
    }

    /* A screen reader speaks the sum when a step was asked for, not while it plays. */
    quiet(speak) {
      if (speak) this.paper.setAttribute("aria-live", "polite");
      else this.paper.removeAttribute("aria-live");
    }

    play() {
      this.quiet(false);
      this.playButton.textContent = "Pause";
      if (this.at === this.all.length - 1) this.select(0);
      this.timer = setInterval(() => {
        if (this.at < this.all.length - 1) this.select(this.at + 1);
        if (this.at === this.all.length - 1) this.stop();
      }, 900);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      this.playButton.textContent = "Play";
    }

    move(event) {
      const width = this.result.columns.count;
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width }[event.key];
      const to =
        event.key === "Home" ? 0 : event.key === "End" ? this.all.length - 1 : this.at + by;
      if (Number.isNaN(to) || !(to in this.all)) return;
      event.preventDefault();
      this.stop();
      this.outputCells[to].focus();
    }
  }

  /* Where the playground page lies, seen from this page. */
  function playgroundPage() {
    const link = document.querySelector('a[href*="playground.html"]');
    return link ? link.getAttribute("href").split("#")[0] : "";
  }

  function start() {
    for (const root of document.querySelectorAll("div.playground")) {
      const page = root.id === "playground";
      let first = { example: START, setting: structuredClone(EXAMPLES[START]) };
      let problem = "";
      if (page) {
        const wanted = explained(
          () => fromHash(location.hash),
          (message) => void (problem = message),
        );
        first = wanted ?? first;
      }
      const playground = new Playground(root, { ...first, page });
      if (problem) playground.problem.textContent = `${problem} Here is an example instead.`;
      if (!page) continue;
      addEventListener("hashchange", () => {
        const wanted = explained(
          () => fromHash(location.hash),
          (message) => playground.explain(message),
        );
        if (wanted) playground.load(wanted);
      });
    }
    for (const link of document.querySelectorAll('article a[href*="/playground.html#"]')) {
      const found = fromHash(new URL(link.href).hash);
      const paragraph = link.closest("p");
      if (!found || !paragraph) continue;
      const root = makeElement("div", { class: "playground" });
      paragraph.after(root);
      new Playground(root, { ...found, page: false });
    }
  }

  window.Playground = { EXAMPLES }; // for the tests
  start();
})();
