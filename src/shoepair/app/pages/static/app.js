// What both pages share: texts, the status that is read aloud, and sending photos.
export const texts = JSON.parse(document.getElementById("texts").textContent);
export const language = document.documentElement.lang;
const status = document.getElementById("status");

export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** Shows lines, each [class, text], and has them read aloud. */
export function say(lines, answer) {
  if (answer) status.dataset.answer = answer;
  else delete status.dataset.answer;
  status.replaceChildren(
    ...lines.map(([name, text]) => {
      const line = document.createElement("p");
      line.className = name;
      line.textContent = text;
      return line;
    }),
  );
}

export function sayFailed(error) {
  const text = error instanceof TypeError ? texts.unreachable : fill(texts.failed, { error: error.message });
  say([["failed", text]]);
}

/** Asks the app; what it answers, or an error with its words and `status`. */
export async function ask(method, path, { values = {}, body, signal } = {}) {
  const query = new URLSearchParams({ ...values, language });
  const response = await fetch(`${path}?${query}`, { method, body, signal });
  if (response.ok) return response.status === 204 ? null : response.json();
  const said = await response.json().catch(() => ({ error: response.statusText }));
  throw Object.assign(new Error(said.error), { status: response.status });
}
