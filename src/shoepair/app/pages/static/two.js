import { fill, say, sayFailed, texts } from "./app.js";
import { judge } from "./judge.js";

const photos = {}; // by side
const sections = [...document.querySelectorAll(".shoe")];
const pictures = document.getElementById("pictures");
const again = document.getElementById("again");
const dialog = document.querySelector("dialog");
const video = dialog.querySelector("video");
let asked = null; // the question on its way
let facing = null; // the section whose photo the camera takes

function choose(section, photo) {
  const side = section.dataset.side;
  photos[side] = photo;
  const image = section.querySelector("img");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(photo);
  image.hidden = false;
  again.hidden = false;
  pictures.hidden = true;
  if (photos.left && photos.right) compare();
  else say([["", fill(texts.one_chosen, { side: section.dataset.name })]]);
}

async function compare() {
  asked?.abort();
  const { signal } = (asked = new AbortController());
  say([["", texts.working]]);
  try {
    const answer = await judge({ ...photos }, signal);
    if (!signal.aborted) show(answer);
  } catch (error) {
    if (!signal.aborted) sayFailed(error);
  }
}

function show({ answer, headline, detail, advice, pictures: seen }) {
  say([["headline", headline], ["detail", detail], ...advice.map((text) => ["advice", text])], answer);
  pictures.querySelector(".seen").replaceChildren(
    ...seen.map(({ src, alt }) => Object.assign(document.createElement("img"), { src, alt })),
  );
  pictures.hidden = seen.length === 0;
  document.getElementById("status").scrollIntoView({ block: "nearest" });
}

async function openCamera(section) {
  facing = section;
  try {
    const wanted = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1440 } };
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted });
    dialog.showModal();
  } catch { // there is none, it is not allowed, or the page did not come over a secure way
    say([["failed", texts.no_camera]]);
  }
}

function closeCamera() {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

function takePhoto() {
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const section = facing;
  canvas.toBlob((photo) => {
    dialog.close();
    if (photo) choose(section, photo);
  }, "image/jpeg", 0.95);
}

for (const section of sections) {
  const input = section.querySelector("input");
  input.addEventListener("change", () => input.files[0] && choose(section, input.files[0]));
  section.querySelector("[data-camera]").addEventListener("click", () => openCamera(section));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    section.addEventListener(kind, (event) => {
      event.preventDefault();
      section.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) choose(section, event.dataTransfer.files[0]);
    });
  }
}
dialog.querySelector("[data-take]").addEventListener("click", takePhoto);
dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", closeCamera);
again.addEventListener("click", () => {
  asked?.abort();
  for (const section of sections) {
    delete photos[section.dataset.side];
    section.querySelector("img").hidden = true;
    section.querySelector("input").value = "";
  }
  pictures.hidden = again.hidden = true;
  say([]);
  document.getElementById("left").focus();
});
