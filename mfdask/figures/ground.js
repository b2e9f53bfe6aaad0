"use strict";
const documents = [];
const dark = matchMedia("(prefers-color-scheme: dark)");
const page = document.documentElement;

// What follows light and dark is drawn on canvases, which no style sheet reaches: its colours are
// set one by one, to what the style sheet says.
function paint({ model, roles }) {
  const style = getComputedStyle(page);
  for (const [id, properties] of Object.entries(roles)) {
    const found = model.document.get_model_by_id(id);
    const colours = Object.entries(properties).map(
      ([name, role]) => [name, style.getPropertyValue(`--${role}`).trim()]
    );
    // On a live page they stay here: other readers have their own light.
    if (found) found.setv(Object.fromEntries(colours), { sync: false });
  }
}

function repaint() {
  const isDark = page.dataset.ground ? page.dataset.ground === "dark" : dark.matches;
  document.getElementById("ground").textContent = isDark ? "Light" : "Dark";
  documents.forEach(paint);
}

document.getElementById("ground").addEventListener("click", () => {
  const isDark = page.dataset.ground ? page.dataset.ground === "dark" : dark.matches;
  page.dataset.ground = isDark ? "light" : "dark";
  repaint();
});
dark.addEventListener("change", repaint);
repaint();
