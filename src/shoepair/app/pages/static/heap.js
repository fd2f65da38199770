import { ask, fill, say, sayFailed, texts } from "./app.js";

const AT_ONCE = 3; // photos on their way
const form = document.querySelector("form");
const bar = document.querySelector("progress");
const start = document.getElementById("start");
const sides = document.getElementById("sides");
let chosen = [];
let running = null; // the upload that is being judged

for (const input of form.querySelectorAll("input")) {
  input.addEventListener("change", () => {
    // A folder holds other files as well; what a browser knows no kind of, the app looks at.
    chosen = [...input.files].filter((file) => !file.name.startsWith(".") && (!file.type || file.type.startsWith("image/")));
    const many = chosen.length > Number(form.dataset.most);
    say([["", many ? form.dataset.tooMany : fill(texts.chosen, { n: chosen.length })]]);
    if (many) chosen = [];
  });
}

async function send(upload) {
  const waiting = [...chosen];
  const leftOut = [];
  let sent = 0;
  async function sendSome() {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      try {
        await ask("PUT", `/uploads/${upload}`, { values: { name: file.name }, body: file });
      } catch (error) {
        if (error.status !== 415) throw error;
        leftOut.push(file.name);
      }
      bar.value = ++sent;
      if (sent % 25 === 0) say([["", fill(texts.sending, { i: sent, n: chosen.length })]]);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, sendSome));
  return leftOut;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!chosen.length) return say([["failed", texts.none_chosen]]);
  start.disabled = true;
  Object.assign(bar, { hidden: false, value: 0, max: chosen.length });
  say([["", fill(texts.sending, { i: 1, n: chosen.length })]]);
  try {
    ({ upload: running } = await ask("POST", "/uploads"));
    const leftOut = await send(running);
    const left = leftOut.length ? [["failed", fill(texts.not_photos, { names: leftOut.join(", ") })]] : [];
    say([["", fill(texts.matching, { n: chosen.length - leftOut.length })], ...left]);
    bar.removeAttribute("value");
    const { page } = await ask("POST", `/uploads/${running}/pairs`, { values: { sides: sides.value } });
    running = null;
    say([]);
    location.assign(page);
  } catch (error) {
    sayFailed(error);
  } finally {
    start.disabled = false;
    bar.hidden = true;
  }
});

// Who leaves while photos are on their way wants them no more.
window.addEventListener("pagehide", () => {
  if (running) fetch(`/uploads/${running}`, { method: "DELETE", keepalive: true });
});
