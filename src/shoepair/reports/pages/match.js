
"use strict";
// What a person says of the pairs: kept in the browser, one entry a pair, so that parts of one heap can be open at once.
const texts = JSON.parse(document.getElementById("texts").textContent);
const items = [...document.querySelectorAll("li[data-number]")];
const dialog = document.querySelector("dialog");
const prefix = `shoepair ${document.body.dataset.key} `;
const told = new Map(); // what is said, also where the browser keeps nothing
let shown = null; // the pair that is enlarged

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

// Once, when the page opens: all that is written is an event in the other parts of the heap.
function tryStorage() {
  try {
    localStorage.setItem("shoepair try", "");
    localStorage.removeItem("shoepair try");
  } catch {
    document.querySelector(".unkept").hidden = false;
  }
}

function recall() {
  try {
    const kept = Object.keys(localStorage).filter((name) => name.startsWith(prefix));
    const said = kept.map((name) => [Number(name.slice(prefix.length)), JSON.parse(localStorage.getItem(name))]);
    told.clear();
    for (const [number, one] of said) told.set(number, one);
  } catch {
    document.querySelector(".unkept").hidden = false;
  }
}

function keep(number, said) {
  if (said.verdict) told.set(number, said);
  else told.delete(number);
  try {
    if (said.verdict) localStorage.setItem(prefix + number, JSON.stringify(said));
    else localStorage.removeItem(prefix + number);
  } catch {
    document.querySelector(".unkept").hidden = false;
  }
}

function saidOf(item) {
  return told.get(Number(item.dataset.number)) ?? { verdict: "", swapped: false };
}

function names(item) {
  const { left, right } = item.dataset;
  return saidOf(item).swapped ? [right, left] : [left, right];
}

function short(name) {
  return name.replace(/^.*\//, "").replace(/\.[^.]*$/, "");
}

function press(buttons, said) {
  for (const button of buttons) {
    const act = button.dataset.act;
    if (button.hasAttribute("aria-pressed")) {
      button.setAttribute("aria-pressed", String(act === "swap" ? said.swapped : said.verdict === act));
    }
  }
}

function show(item) {
  const said = saidOf(item);
  const number = item.dataset.number;
  item.dataset.verdict = said.verdict;
  press(item.querySelectorAll("[data-act]"), said);
  const swapped = item.dataset.swapped === "true";
  if (swapped !== said.swapped) {
    for (const photos of item.querySelectorAll(".photos")) photos.append(photos.firstElementChild);
    item.dataset.swapped = String(said.swapped);
  }
  const both = names(item);
  const pictures = [...item.querySelectorAll(".photos:not(.cut-outs) img")];
  ["left", "right"].forEach((side, i) => {
    item.querySelector(`.${side}`).textContent = both[i];
    pictures[i].alt = fill(texts[`alt_${side}`], { number, name: short(both[i]) });
  });
  if (item === shown) enlarge(item);
}

function showAll() {
  items.forEach(show);
  showProgress();
}

function showProgress() {
  const verdicts = [...told.values()].map((said) => said.verdict);
  const right = verdicts.filter((verdict) => verdict === "right").length;
  const wrong = verdicts.length - right;
  const open = Number(document.body.dataset.pairs) - right - wrong;
  document.querySelector(".progress").textContent = fill(texts.progress, { right, wrong, open });
}

function say(text) { // what stands outside an open dialog is not read
  for (const status of document.querySelectorAll(".said")) status.textContent = text;
}

function judge(item, act) {
  const number = Number(item.dataset.number);
  const before = saidOf(item);
  const said = { left: item.dataset.left, right: item.dataset.right, ...before };
  if (act === "swap") {
    said.swapped = !before.swapped;
    said.verdict = "right"; // a pair whose sides are known to be exchanged is a pair
  } else {
    said.verdict = before.verdict === act ? "" : act;
    if (!said.verdict) said.swapped = false;
  }
  keep(number, said);
  show(item);
  showProgress();
  const now = said.swapped && said.verdict === "right" ? "swapped" : said.verdict || "open";
  say(fill(texts[`said_${now}`], { number }));
  return said.verdict;
}

function enlarge(item) {
  shown = item;
  const [left, right] = names(item);
  const number = item.dataset.number;
  document.getElementById("at").textContent = fill(texts.at, { number, percent: item.dataset.percent, left, right });
  const pictures = [...item.querySelectorAll(".photos:not(.cut-outs) img")];
  [...dialog.querySelectorAll(".large img")].forEach((image, i) => {
    image.onerror = () => { // a browser that cannot show that kind of photo, or the photo is gone
      image.onerror = null;
      image.src = pictures[i].src;
    };
    image.src = pictures[i].dataset.large ?? pictures[i].src;
    image.alt = pictures[i].alt;
  });
  press(dialog.querySelectorAll("[data-act]"), saidOf(item));
  if (!dialog.open) dialog.showModal();
}

function move(item, step) {
  const next = items[items.indexOf(item) + step];
  if (!next) {
    if (step > 0) say(texts.end);
    return;
  }
  if (dialog.open) {
    enlarge(next);
    say(document.getElementById("at").textContent);
  } else {
    next.tabIndex = -1;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

function act(item, what, { go }) {
  if (what === "enlarge") enlarge(item);
  else if (what === "close") dialog.close();
  else if (what === "next" || what === "previous") move(item, what === "next" ? 1 : -1);
  else if (judge(item, what) && what !== "swap" && go) move(item, 1);
}

// As files.py writes: after an apostrophe a spreadsheet computes nothing, and blanks are kept.
const guarded = (cell) => (/^[=+\-@\uff1d\uff0b\uff0d\uff20'\s\x1c-\x1f\x85]|[\s\x1c-\x1f\x85]$/.test(cell) ? `'${cell}` : cell);

function csv(cells) {
  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return cells.map((cell) => quoted(guarded(cell))).join(",");
}

function save() {
  const rows = [...told.entries()].sort(([one], [other]) => one - other).map(([, said]) => {
    const both = said.swapped ? [said.right, said.left] : [said.left, said.right];
    return csv([...both, said.verdict]);
  });
  const file = new Blob([["left,right,verdict", ...rows, ""].join("\n")], { type: "text/csv" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = "reviewed.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const tools = {
  start() {
    const open = items.find((item) => !saidOf(item).verdict) ?? items[0];
    if (open) enlarge(open);
  },
  save,
  print() {
    window.print();
  },
  forget() {
    if (!window.confirm(texts.forget_sure)) return;
    for (const number of [...told.keys()]) keep(number, { verdict: "" });
    showAll();
  },
};

document.addEventListener("click", (event) => {
  const tool = event.target.closest("[data-tool]");
  if (tool) tools[tool.dataset.tool]();
  const item = event.target.closest("dialog") ? shown : event.target.closest("li[data-number]");
  if (!item) return;
  const button = event.target.closest("[data-act]");
  if (button) act(item, button.dataset.act, { go: dialog.open });
  else if (event.target.closest("li .photos:not(.cut-outs)")) enlarge(item);
});

// Letters count only while a pair has the focus or is enlarged: nobody who dictates or types elsewhere sets them off.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const item = dialog.open ? shown : event.target.closest?.("li[data-number]");
  if (!item) return;
  const arrows = { ArrowRight: "next", ArrowLeft: "previous" };
  const what = (dialog.open && arrows[event.key]) || texts.keys[event.key.toLowerCase()];
  if (!what) return;
  event.preventDefault();
  act(item, what, { go: true });
});

dialog.addEventListener("close", () => {
  const item = shown;
  shown = null;
  item?.querySelector("[data-act=enlarge]").focus();
});

window.addEventListener("storage", (event) => {
  if (event.key !== null && !event.key.startsWith(prefix)) return; // null: all was forgotten
  recall();
  showAll();
});

for (const hidden of document.querySelectorAll(".tools, li .buttons")) hidden.hidden = false;
tryStorage();
recall();
showAll();
