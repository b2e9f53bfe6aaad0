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

show();
