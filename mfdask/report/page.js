function offer(link, csv) {
  link.addEventListener("click", () => {
    // A byte order mark, or spreadsheets take the text for another encoding.
    const file = new Blob(["\ufeff" + csv], { type: "text/csv" });
    link.href = URL.createObjectURL(file);
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}

// A legend in a line is as wide as its words: where there is less room, it gets several lines.
const pen = document.createElement("canvas").getContext("2d");
function fitLegend(legend, width) {
  pen.font = `${legend.label_text_font_size} ${legend.label_text_font}`;
  const texts = legend.items.flatMap((item) => item.get_labels_list_from_label_prop());
  const widest = Math.max(0, ...texts.map((text) => pen.measureText(text).width));
  const each = widest + legend.glyph_width + legend.label_standoff + legend.spacing + 4;
  const room = Math.max(1, Math.floor(width / each));
  const ncols = room < texts.length ? room : "auto";
  if (legend.ncols !== ncols) legend.ncols = ncols;
}

function fitLegends(place, root) {
  const legends = [...root.references()].filter(
    (model) => model.type === "Legend" && model.orientation === "horizontal"
  );
  if (!legends.length) return;
  const fit = () => place.clientWidth && legends.forEach((one) => fitLegend(one, place.clientWidth));
  fit();
  new ResizeObserver(fit).observe(place);
}

async function draw(place) {
  const { item, roles, csv } = JSON.parse(place.nextElementSibling.textContent);
  offer(place.parentElement.querySelector(".numbers"), csv);
  const views = await Bokeh.embed.embed_item(item, place);
  const shown = { model: views.roots[0].model, roles };
  documents.push(shown);
  paint(shown);
  fitLegends(place, shown.model);
  if (views.roots[0].export && place.parentElement.dataset.picture) drawn.set(place, views.roots[0]);
}

// A canvas is as wide as on the screen, and paper is not: what is printed are pictures of figures,
// which can be scaled, on a light ground. To recolour the figures themselves would take effect only
// after the page has gone to the printer.
const drawn = new Map();
const ROLES = ["ink", "soft", "link", "line", "ground", "page"];
function colours() {
  const style = getComputedStyle(page);
  return ROLES.map((role) => style.getPropertyValue(`--${role}`).trim());
}

function rgb(colour) {
  const parts = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
  return `rgb(${parts.join(",")})`;
}

function toPaper() {
  const before = page.dataset.ground, here = colours();
  page.dataset.ground = "light";
  const light = colours();
  for (const [place, view] of drawn) {
    const picture = place.parentElement.querySelector(".printed") ?? document.createElement("img");
    let svg = view.export("svg").ctx.get_serialized_svg(true);
    here.forEach((colour, k) => {
      svg = svg.replaceAll(`"${colour}"`, `"${light[k]}"`);
      svg = svg.replaceAll(`"${rgb(colour)}"`, `"${light[k]}"`);
    });
    picture.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    picture.className = "printed";
    picture.alt = "";
    place.after(picture);
  }
  addEventListener("afterprint", () => {
    if (before) page.dataset.ground = before;
    else delete page.dataset.ground;
  }, { once: true });
}
addEventListener("beforeprint", toPaper);

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

show();
