// What a reader does with an element that says `data-do` is sent to the server: a click, or what is
// chosen from a list. The numbering makes the same thing done twice two things.
let done = 0;
function tell(did, element) {
  if (element.matches(":focus-visible")) keepPlace();
  did.value = JSON.stringify({ ...element.dataset, value: element.value ?? "", number: `${++done}` });
}

function* everything(root) {
  for (const element of root.querySelectorAll("*")) {
    yield element;
    if (element.shadowRoot) yield* everything(element.shadowRoot);
  }
}

// Whoever goes by the keyboard keeps their place where a list was written anew around it. Neither
// focus within a shadow tree nor what the server changes makes an event here, so that this looks.
let last = null;
document.addEventListener("pointerdown", () => (last = null));
function keepPlace() {
  let focused = document.activeElement;
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
  if (focused !== document.body) {
    last = focused?.dataset?.do ? JSON.stringify({ ...focused.dataset }) : null;
    return;
  }
  if (last === null) return;
  for (const element of everything(document))
    if (element.dataset?.do && JSON.stringify({ ...element.dataset }) === last) return element.focus();
}

function save({ name, text }) {
  const link = document.createElement("a");
  // A byte order mark, or spreadsheets take the text for another encoding.
  link.href = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function listen(did, query, file) {
  file.properties.value.change.connect(() => save(JSON.parse(file.value)));
  const answer = (kind, fits) => document.addEventListener(kind, (event) => {
    const element = event.composedPath().find((each) => each.dataset?.do);
    if (element && fits(element)) tell(did, element);
  });
  answer("click", (element) => element.tagName !== "SELECT");
  answer("input", (element) => element.tagName === "SELECT");
  query.properties.value.change.connect(() => {
    history.replaceState(null, "", query.value ? `?${query.value}` : location.pathname);
  });
  setInterval(keepPlace, 100);
  did.document.on_event("connection_lost", () => page.classList.add("silent"));
}

const began = setInterval(() => {
  const found = Bokeh.documents.find((each) => each.get_model_by_name("did"));
  if (!found) return;
  clearInterval(began);
  const did = found.get_model_by_name("did");
  documents.push({ model: did, roles: JSON.parse(document.getElementById("roles").textContent) });
  repaint();
  listen(did, found.get_model_by_name("query"), found.get_model_by_name("file"));
  page.dataset.state = "shown";
}, 50);

for (const tab of document.querySelectorAll("nav a"))
  if (tab.pathname === location.pathname) tab.setAttribute("aria-current", "page");
