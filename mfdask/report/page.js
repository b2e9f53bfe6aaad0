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
    if (found) found.setv(Object.fromEntries(colours));
  }
}

function repaint() {
  const isDark = page.dataset.ground ? page.dataset.ground === "dark" : dark.matches;
  document.getElementById("ground").textContent = isDark ? "Light" : "Dark";
  documents.forEach(paint);
}

function offer(link, csv) {
  link.addEventListener("click", () => {
    // A byte order mark, or spreadsheets take the text for another encoding.
    const file = new Blob(["\ufeff" + csv], { type: "text/csv" });
    link.href = URL.createObjectURL(file);
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}

async function draw(place) {
  const { item, roles, csv } = JSON.parse(place.nextElementSibling.textContent);
  offer(place.parentElement.querySelector(".numbers"), csv);
  const views = await Bokeh.embed.embed_item(item, place);
  const shown = { model: views.roots[0].model, roles };
  documents.push(shown);
  paint(shown);
}

// One after the other, so that the page can be read meanwhile.
async function show() {
  for (const place of document.querySelectorAll(".picture")) {
    try {
      await draw(place);
    } catch (error) {
      console.error(error);
      place.textContent = "This figure could not be drawn; its numbers are below.";
    }
    await new Promise((next) => setTimeout(next));
  }
  page.dataset.state = "shown";
}

document.getElementById("ground").addEventListener("click", () => {
  const isDark = page.dataset.ground ? page.dataset.ground === "dark" : dark.matches;
  page.dataset.ground = isDark ? "light" : "dark";
  repaint();
});
dark.addEventListener("change", repaint);
repaint();
show();
