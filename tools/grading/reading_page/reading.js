// The page for written answers: points by key, each saved at once; what could not be saved is said and kept.
"use strict";

const cards = [...document.querySelectorAll("article")];
const maximum = Number(document.body.dataset.maximum);
const waiting = new Set(); // cards whose last mark is not saved

const pointsOf = (card) => (card.dataset.points === "" ? null : Number(card.dataset.points));
const commentOf = (card) => card.querySelector("textarea").value;

function show(card) {
  const points = pointsOf(card);
  card.dataset.read = points === null ? "0" : "1";
  for (const button of card.querySelectorAll("[data-value]")) {
    button.setAttribute("aria-pressed", String(points === Number(button.dataset.value)));
  }
  const read = cards.filter((one) => pointsOf(one) !== null).length;
  document.getElementById("progress").value = read;
  document.getElementById("read").textContent = `${read} of ${cards.length} read`;
}

function say(card, text, bad = false) {
  const state = card.querySelector(".state");
  state.textContent = text;
  state.classList.toggle("bad", bad);
}

async function save(card) {
  const mark = { key: card.dataset.key, digest: card.dataset.digest, points: pointsOf(card), comment: commentOf(card), extra: Number(card.dataset.extra) };
  const turn = (card.turn = (card.turn || 0) + 1);
  waiting.add(card);
  say(card, "saving ...");
  try {
    const headers = { "Content-Type": "application/json", "X-Token": document.body.dataset.token };
    // One after the other, so that the last mark given is the last one written.
    const before = card.saving || Promise.resolve();
    card.saving = before.catch(() => {}).then(() => fetch(location.pathname, { method: "POST", headers, body: JSON.stringify(mark) }));
    const reply = await card.saving;
    const told = await reply.json().catch(() => ({}));
    if (turn !== card.turn) return; // a later mark is on its way
    if (!reply.ok) throw new Error(told.error || `the grader answered ${reply.status}`);
    waiting.delete(card);
    say(card, told.points === null ? "taken back" : `saved: ${told.points} of ${maximum}`);
  } catch (error) {
    if (turn === card.turn) say(card, `NOT SAVED: ${error.message}. It is kept here; give it again.`, true);
  }
}

function give(card, points) {
  card.dataset.points = points === null ? "" : String(Math.min(Math.max(points, 0), maximum));
  show(card);
  save(card);
}

function move(card, step) {
  const there = cards.filter((one) => !one.hidden);
  const next = there[there.indexOf(card) + step];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

function choose() {
  const kind = document.getElementById("filter").value;
  for (const card of cards) {
    card.hidden = (kind === "unread" && pointsOf(card) !== null) || (kind === "changed" && card.dataset.changed !== "1");
  }
}

function giveToAll(card) {
  const others = card.dataset.alike.split(" ").map((number) => cards[Number(number) - 1]);
  if (pointsOf(card) === null) return say(card, "Give this answer its points first.", true);
  if (!confirm(`Give ${pointsOf(card)} points and this comment to ${others.length} more answers with the same words?`)) return undefined;
  for (const other of others) {
    other.querySelector("textarea").value = commentOf(card);
    give(other, pointsOf(card));
  }
  return undefined;
}

function onKey(event) {
  const card = event.currentTarget;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.tagName === "TEXTAREA") {
    if (event.key === "Enter" && !event.shiftKey) save(card);
    if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
      event.preventDefault();
      card.focus();
    }
    return;
  }
  const doing = {
    j: () => move(card, 1), ArrowDown: () => move(card, 1), ArrowRight: () => move(card, 1),
    k: () => move(card, -1), ArrowUp: () => move(card, -1), ArrowLeft: () => move(card, -1),
    h: () => give(card, (pointsOf(card) || 0) + 0.5), ".": () => give(card, (pointsOf(card) || 0) + 0.5),
    x: () => give(card, null), c: () => card.querySelector("textarea").focus(),
  }; // prettier-ignore
  if (/^[0-9]$/.test(event.key) && Number(event.key) <= maximum) {
    event.preventDefault();
    give(card, Number(event.key));
  } else if (doing[event.key]) {
    event.preventDefault();
    doing[event.key]();
  }
}

for (const card of cards) {
  card.addEventListener("keydown", onKey);
  card.querySelector("textarea").addEventListener("change", () => save(card));
  card.querySelector(".alike")?.addEventListener("click", () => giveToAll(card));
  for (const button of card.querySelectorAll("[data-value]")) {
    button.addEventListener("click", () => give(card, Number(button.dataset.value)));
  }
  show(card);
}
document.getElementById("filter").addEventListener("change", choose);
window.addEventListener("beforeunload", (event) => {
  if (waiting.size) event.preventDefault();
});
