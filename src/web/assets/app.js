// Only adds: ages next to times, copying of SQL, and a refresh that keeps what the user is doing.
(() => {
  const ages = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[datetime]")) {
      const seconds = Math.round((now - Date.parse(time.dateTime)) / 1000);
      if (Number.isNaN(seconds)) continue;
      const [n, unit] = Math.abs(seconds) < 5400 ? [seconds / 60, "min"] : Math.abs(seconds) < 129600 ? [seconds / 3600, "h"] : [seconds / 86400, "d"];
      const size = Math.round(Math.abs(n));
      time.title = seconds >= 0 ? `${size} ${unit} ago` : `in ${size} ${unit}`;
    }
  };
  const copies = () => {
    for (const pre of document.querySelectorAll("pre[data-copy]")) {
      if (pre.previousElementSibling?.matches("button.copy")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(pre.textContent);
          button.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren(pre);
        }
      });
      pre.before(button);
    }
  };
  const openDetails = () => {
    const open = location.hash && document.getElementById(location.hash.slice(1))?.closest("details");
    if (open) open.open = true;
  };
  const mark = () => { ages(); copies(); };
  mark();
  openDetails();
  addEventListener("hashchange", openDetails);
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.sql)").forEach((d) => { d.open = true; }));

  let touched = false;
  let paused = false;
  let tag = "";
  addEventListener("input", () => { touched = true; });
  const live = document.getElementById("live");
  const pause = document.createElement("button");
  pause.type = "button";
  pause.className = "plain";
  pause.textContent = "Pause refresh";
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume refresh" : "Pause refresh";
  });
  document.querySelector(".moment")?.prepend(pause);
  const refresh = async () => {
    const busy = document.querySelector("main details[open], main :focus:not(body)");
    if (paused || touched || busy || document.hidden || !live) return;
    try {
      const answer = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      if (answer.status === 304 || !answer.ok || answer.redirected) return;
      tag = answer.headers.get("ETag") || "";
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = page.querySelector("main");
      if (!main) return;
      document.querySelector("main").replaceWith(main);
      document.title = page.title;
      mark();
      live.textContent = `Refreshed at ${new Date().toLocaleTimeString()}.`;
    } catch { /* the next refresh may succeed */ }
  };
  setInterval(refresh, 30000);
})();
