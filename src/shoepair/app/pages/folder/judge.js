// Judges two photos in the browser itself: the network as ONNX files, run by onnxruntime-web, which lies beside this file.
import * as ort from "./ort.wasm.bundle.min.mjs";
import { fill } from "./app.js";
import { edge, square } from "./photo.js";

const facts = JSON.parse(document.getElementById("facts").textContent);
const t = facts.texts;
ort.env.wasm.numThreads = 1; // more of them would need headers that few static servers send
ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
const load = (name) => ort.InferenceSession.create(new URL(name, import.meta.url).href);
const network = load("shoes.onnx");
const looks = network.then(() => load("looks.onnx")); // one after the other: they share the runtime

async function read(photos, side) {
  try {
    return await square(photos[side], facts.image_size);
  } catch {
    throw new Error(t.two.unreadable[side]);
  }
}

/** The doubt about a photo, a key of texts; null: none. */
async function doubtOf({ pixels, extent }) {
  const size = facts.image_size;
  const places = facts.mask_size;
  const inputs = {
    photos: new ort.Tensor("uint8", pixels, [1, 3, size, size]),
    edge: new ort.Tensor("bool", edge(extent, places), [1, places, places]),
  };
  const { doubt } = await (await looks).run(inputs);
  return facts.doubts[Number(doubt.data[0])] ?? null;
}

export async function probabilityOf(left, right) {
  const shape = [1, 3, facts.image_size, facts.image_size];
  const [one, other] = [left, right].map(({ pixels }) => new ort.Tensor("uint8", pixels, shape));
  const { probability } = await (await network).run({ left: one, right: other });
  return probability.data[0];
}

function percent(probability) {
  const whole = Math.min(Math.floor(100 * probability), 99);
  return whole ? `${whole} %` : t.percent.under_one;
}

/** What the app's answers.py says, without its pictures. */
export async function judge(photos) {
  const left = await read(photos, "left");
  const right = await read(photos, "right");
  const probability = await probabilityOf(left, right);
  const wrong = [["left", await doubtOf(left)], ["right", await doubtOf(right)]].filter(([, doubt]) => doubt);
  const same = probability > 0.5;
  const probable = same ? probability : 1 - probability;
  const sure = probable >= facts.sure && Math.abs(Math.log(probability / (1 - probability))) >= facts.margin;
  const answer = wrong.length || !sure ? "not sure" : same ? "same" : "different";
  const key = answer.replace(" ", "_");
  const reasons = wrong.map(([side, doubt]) => fill(t.photos[side], { doubt: t.doubts[doubt] }));
  const advice = reasons.length ? [fill(t.two.because, { reasons: reasons.join(t.match.and) })] : [];
  if (answer === "not sure") {
    const remedies = [...new Set(wrong.map(([, doubt]) => doubt))].map((doubt) => t.remedies[doubt]);
    advice.push(...(remedies.length ? remedies : [t.two.retake]));
  }
  const said = percent(answer === "different" ? 1 - probability : probability);
  return {
    answer, probability, advice, headline: t.two.headline[key], detail: fill(t.two.detail[key], { percent: said }), pictures: [],
  };
}
