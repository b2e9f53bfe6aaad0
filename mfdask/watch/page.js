
const place = document.querySelector(".page");
// Longer than a scheduler is ever busy in one piece, compiling apart.
const SILENCE = 10_000;

// The server speaks each second. A page that hears nothing is old, and says so; when the server, or
// the next one in its place, answers again, the page begins anew.
function listen(told) {
  let heard = Date.now();
  told.properties.text.change.connect(() => {
    heard = Date.now();
    if (told.css_classes.includes("anew")) location.reload();
  });
  setInterval(async () => {
    const silent = Date.now() - heard > SILENCE;
    place.classList.toggle("silent", silent);
    if (!silent) return;
    const since = new Date(heard).toLocaleTimeString();
    place.querySelector(".silence").textContent =
      `Nothing heard since ${since}: the cluster has ended or does not answer. All below is of then.`;
    const answer = await fetch("health").catch(() => null);
    if (answer?.ok) location.reload();
  }, 2000);
}

const began = setInterval(() => {
  const told = Bokeh.documents.map((each) => each.get_model_by_name("told")).find((each) => each);
  if (!told) return;
  clearInterval(began);
  documents.push({ model: told, roles: JSON.parse(document.getElementById("roles").textContent) });
  repaint();
  listen(told);
  page.dataset.state = "shown";
}, 50);

for (const tab of document.querySelectorAll("nav a"))
  if (tab.pathname === location.pathname) tab.setAttribute("aria-current", "page");
