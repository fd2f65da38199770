// Has the app judge two photos.
import { ask } from "./app.js";

export async function judge(photos, signal) {
  const { upload } = await ask("POST", "/uploads", { signal });
  const sent = ["left", "right"].map((side) =>
    ask("PUT", `/uploads/${upload}`, { values: { side }, body: photos[side], signal }),
  );
  try {
    await Promise.all(sent);
  } catch (error) { // nothing will be asked of the other photo
    fetch(`/uploads/${upload}`, { method: "DELETE", keepalive: true });
    throw error;
  }
  return ask("POST", `/uploads/${upload}/verdict`, { signal });
}
