// What a page does by itself: follow the stream, count clocks on, keys, keep drafts. Everything works without it.
"use strict";
(() => {
  const body = document.body;
  const words = JSON.parse(body.dataset.words || "{}");
  const say = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  // A form that was refused leaves its own address in the bar; the page it belongs to is another.
  const here = body.dataset.here || location.pathname + location.search;
  // Nobody can go back to a form's address: whoever signs in again or reloads comes to the page.
  if (body.dataset.here && location.pathname !== body.dataset.here) history.replaceState(null, "", body.dataset.here);
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- the clock of the service, which may run faster than ours (demonstration)
  const speed = Number(body.dataset.speed) || 1;
  let clock = { theirs: Number(body.dataset.now) * 1000, ours: performance.now() };
  const serviceNow = () => clock.theirs + (performance.now() - clock.ours) * speed;
  const span = (ms) => {
    const seconds = Math.floor(ms / 1000);
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return seconds < 600 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) { const h = Math.floor(seconds / 3600), m = Math.floor(seconds % 3600 / 60); return m && h < 12 ? `${h} h ${m} min` : `${h} h`; }
    return `${Math.floor(seconds / 86400)} d`;
  };
  const tick = () => {
    const now = serviceNow();
    for (const element of all("[data-countdown]")) {
      const left = Date.parse(element.dateTime) - now;
      const text = say(left < 0 ? words.overdue : words.left, { span: span(Math.abs(left)) });
      if (element.textContent !== text) element.textContent = text;
      element.classList.toggle("late", left < 0);
      element.classList.toggle("soon", left >= 0 && left < 120000);
    }
  };

  // ---- live: one stream per page; a change asks for the page again and morphs it in
  const topic = body.dataset.live;
  const state = find("#live-state");
  const STALE_AFTER = 45000, POLL_EVERY = 60000;
  let lastWord = Date.now(), lastAt = new Date(serviceNow()), source = null, isLocked = false, wanted = false, busy = false, counts = null;
  const clockText = (date) => date.toLocaleTimeString("en-GB", { timeZone: body.dataset.zone });
  const showState = (isStale) => {
    if (!state) return;
    state.classList.toggle("is-live", !isStale);
    state.classList.toggle("is-stale", isStale);
    find("[data-live-words]", state).textContent = say(words.updated, { at: clockText(lastAt) });
    const banner = find("#stale");
    if (banner && banner.hidden === isStale) {
      banner.hidden = !isStale;
      if (isStale) banner.textContent = say(words.stale, { at: clockText(lastAt) });
    }
  };
  const heard = () => { lastWord = Date.now(); lastAt = new Date(serviceNow()); showState(false); };
  const title = document.title;
  const showCounts = (fresh) => {
    document.title = fresh.alarming ? `(${fresh.alarming}) ${title}` : title;
    if (counts && fresh.alarm_key !== counts.alarm_key && fresh.alarming >= counts.alarming && fresh.alarming > 0) alarm();
    counts = fresh;
    const locked = find("#lock-count");
    if (locked) locked.textContent = `${fresh.alarming} ${words.open}`;
  };
  const alarm = () => {
    if (body.dataset.sound === "on") beep();
    if (body.dataset.notify === "on" && "Notification" in window && Notification.permission === "granted" && document.hidden) {
      new Notification("Aftercare", { body: words.alert, tag: "aftercare" });
    }
  };
  const beep = () => {
    try {
      const context = new AudioContext(), tone = context.createOscillator(), gain = context.createGain();
      tone.frequency.value = 880; gain.gain.value = 0.12;
      tone.connect(gain).connect(context.destination);
      tone.start(); tone.stop(context.currentTime + 0.35);
    } catch { /* no sound here */ }
  };
  const refresh = async () => {
    if (busy) { wanted = true; return; }
    busy = true;
    try {
      const regions = all("[data-region]").map((region) => `#${region.id}:outerMorph`).join(",");
      if (regions) await htmx.ajax("GET", here, { target: "#main", swap: "none ignoreTitle:true", selectOOB: regions, headers: { "X-Live": "1" } });
      tick(); placeMark(); scrollTalk(); showPresent(present);
    } catch { /* the banner tells */ } finally {
      busy = false;
      if (wanted) { wanted = false; refresh(); }
    }
  };
  // On an escalation: who else is here. On the queue: who is at which row, so that two do not call one patient.
  let present = [];
  const showPresent = (others) => {
    present = others;
    const text = (these) => {
      const named = (isTyping) => these.filter((one) => one[1] === isTyping).map((one) => one[0]).join(", ");
      return [named(true) && say(words.writing, { names: named(true) }), named(false) && say(words.looking, { names: named(false) })].filter(Boolean).join(" · ");
    };
    const put = (place, said) => { if (place && place.textContent !== said) place.textContent = said; };
    put(find("#present"), text(others));
    for (const place of all("[data-present]")) put(place, text(others.filter((one) => one[2] === place.dataset.present)));
  };
  // ---- a minute before the page locks it says so; staying is an act of a person
  let locksAt = null;
  const warn = () => {
    const place = find("#warn-lock");
    if (!place || !locksAt || isLocked) return;
    const left = Math.max(0, Math.ceil((locksAt - performance.now()) / 1000)), near = left <= 60;
    if (near && place.hidden) {
      // The seconds are for the eye; read aloud every second they would drown everything else.
      const told = document.createElement("span"), seen = document.createElement("strong"), stay = document.createElement("button");
      told.className = "unseen"; told.textContent = words.locks_soon;
      seen.id = "lock-seconds"; seen.setAttribute("aria-hidden", "true");
      stay.type = "button"; stay.className = "secondary"; stay.textContent = words.stay;
      stay.addEventListener("click", async () => { await fetch("/me"); locksAt = null; place.hidden = true; });
      place.replaceChildren(told, seen, stay);
    }
    const seen = find("#lock-seconds", place), text = say(words.locks, { seconds: left });
    if (near && seen && seen.textContent !== text) seen.textContent = text;
    place.hidden = !near;
  };
  const lock = () => {
    if (isLocked) return;
    isLocked = true;
    for (const region of all("main")) region.replaceChildren();
    const screen = document.createElement("div");
    screen.className = "lock";
    const door = document.createElement("section");
    door.className = "door";
    const heading = document.createElement("h1"), count = document.createElement("p"), link = document.createElement("a");
    heading.textContent = words.locked; count.id = "lock-count"; count.textContent = counts ? `${counts.alarming} ${words.open}` : "";
    link.className = "button"; link.textContent = words.unlock;
    link.href = `/sign-in?locked=1&next=${encodeURIComponent(here)}`;
    door.append(heading, count, link); screen.append(door);
    body.classList.add("locked"); body.append(screen); link.focus();
  };
  const listen = () => {
    if (!topic || !("EventSource" in window)) return;
    source = new EventSource(`/live?topic=${encodeURIComponent(topic)}`);
    let seen = null;
    source.addEventListener("state", (event) => {
      const told = JSON.parse(event.data);
      clock = { theirs: told.now * 1000, ours: performance.now() };
      heard(); showCounts(told.counts);
      if (told.locked) { lock(); return; }
      showPresent(told.present || []);
      locksAt = told.locks_in === null ? null : performance.now() + told.locks_in * 1000;
      const drawn = find("[data-version]");
      const isFresh = seen === null ? drawn !== null && told.version !== drawn.dataset.version : told.version !== seen;
      if (isFresh && !isLocked) refresh();
      seen = told.version;
    });
    source.addEventListener("ended", () => { source.close(); location.href = `/sign-in?next=${encodeURIComponent(here)}`; });
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(listen, 3000); } });
  };
  const watch = () => { if (topic && Date.now() - lastWord > STALE_AFTER) showState(true); };
  const poll = () => { if (topic && !isLocked && Date.now() - lastWord > STALE_AFTER) refresh().then(() => {}); };

  // ---- keys
  let place = -1;
  const rows = () => all("[data-row]");
  const placeMark = () => rows().forEach((row, index) => row.classList.toggle("here", index === place));
  const move = (step) => {
    const list = rows();
    if (!list.length) return;
    place = Math.max(0, Math.min(list.length - 1, place + step));
    placeMark();
    find("a", list[place]).focus();
    list[place].scrollIntoView({ block: "nearest" });
  };
  const press = (name) => {
    const scope = place >= 0 && rows()[place] ? rows()[place] : document;
    const element = find(`[data-key="${name}"]`, scope) || (scope !== document ? null : find(`[data-key="${name}"]`));
    if (!element) return false;
    const fold = element.closest("details");
    if (fold && !fold.open) fold.open = true;
    if (element.matches("button, a, summary")) { element.click(); } else { element.focus(); element.scrollIntoView({ block: "center" }); }
    return true;
  };
  document.addEventListener("keydown", (event) => {
    if (body.dataset.keys !== "on" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog[open]")) return;
    let done = true;
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?") { const dialog = find("#keys"); if (dialog) dialog.showModal(); }
    else if (event.key === "/") { const field = find("[data-search]"); if (field) { field.focus(); field.select(); } else done = false; }
    else if ("acrne".includes(event.key) && event.key.length === 1) done = press(event.key);
    else done = false;
    if (done) event.preventDefault();
  });

  // ---- drafts: what was typed survives an expired session and a lost race, on this tab only
  const draftKey = (field) => `draft:${body.dataset.who}:${here}:${field.form ? field.form.getAttribute("action") : ""}:${field.name}`;
  const keepDraft = (event) => { const field = event.target; if (field.matches("[data-draft]")) sessionStorage.setItem(draftKey(field), field.value); };
  const restoreDrafts = () => {
    // What was just sent or saved must not stand in its field again: one more tap would send it twice.
    const done = new URLSearchParams(location.search).get("done");
    for (const field of all("[data-draft]")) {
      const key = draftKey(field), kept = sessionStorage.getItem(key);
      if (!kept) continue;
      if (done && field.form && field.form.getAttribute("action").endsWith(`/${done}`)) { sessionStorage.removeItem(key); continue; }
      if (field.value) continue;
      field.value = kept;
      const fold = field.closest("details"), said = document.createElement("p");
      if (fold) fold.open = true;
      said.className = "hint"; said.textContent = words.kept;
      field.after(said);
    }
  };
  // A whole form: a patient half enrolled when the session ended. What the server shows again goes first.
  const formKey = (action) => `draft:${body.dataset.who}:form:${action}`;
  const keepForm = (event) => {
    const form = event.target.form;
    if (form && form.matches("[data-keep]")) sessionStorage.setItem(formKey(form.getAttribute("action")), JSON.stringify([...new FormData(form)].filter(([name]) => name !== "csrf")));
  };
  const restoreForms = () => {
    const done = new URLSearchParams(location.search).get("done");
    if (done) sessionStorage.removeItem(formKey(`/${done}`));
    for (const form of all("form[data-keep]")) {
      const key = formKey(form.getAttribute("action")), kept = sessionStorage.getItem(key);
      if (!kept || form.dataset.keep === "shown") continue;
      const values = new Map(JSON.parse(kept));
      for (const field of form.elements) {
        if (!field.name || field.type === "hidden") continue;
        if (field.type === "checkbox" || field.type === "radio") field.checked = values.get(field.name) === field.value;
        else if (values.has(field.name)) field.value = values.get(field.name);
      }
      const said = find("[data-kept]");
      if (!said) continue;
      said.hidden = false;
      find("button", said).addEventListener("click", () => { sessionStorage.removeItem(key); form.reset(); said.hidden = true; });
    }
  };
  // Who signs out leaves nothing behind for the next person at this desk; nor does whoever only went away.
  const forgetDrafts = (but) => {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith("draft:") && !(but && key.startsWith(but))) sessionStorage.removeItem(key);
  };
  if (body.dataset.who) forgetDrafts(`draft:${body.dataset.who}:`);
  document.addEventListener("submit", (event) => { if (event.target.getAttribute("action") === "/sign-out") forgetDrafts(); });
  document.addEventListener("input", keepDraft);
  document.addEventListener("input", keepForm);
  // A translation belongs to the words it was made of: words that were changed have none.
  document.addEventListener("input", (event) => {
    const beside = find("#beside"), choice = find("[data-fill]");
    if (beside && choice && event.target.matches(choice.dataset.fill)) {
      const chosen = [...choice.options].find((option) => option.value && option.value === event.target.value);
      beside.hidden = !(chosen && chosen.dataset.translation);
    }
  });
  document.addEventListener("change", (event) => {
    const choice = event.target;
    if (choice.matches("[data-ask-notify]") && choice.checked && "Notification" in window) Notification.requestPermission();
    if (choice.matches("[data-fill]") && choice.value) {
      const target = find(choice.dataset.fill);
      const beside = find("#beside"), chosen = choice.selectedOptions ? choice.selectedOptions[0] : null;
      if (beside && chosen) { beside.hidden = !chosen.dataset.translation; find("#beside-words").textContent = chosen.dataset.translation || ""; }
      if (target) { target.value = choice.value; target.dispatchEvent(new Event("input", { bubbles: true })); target.focus(); }
    }
    if (choice.matches("[data-submit]")) choice.form.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-say], [data-print], [data-opens]");
    if (!button) { for (const menu of all(".menu[open]")) if (!menu.contains(event.target)) menu.open = false; return; }
    if ("print" in button.dataset) window.print();
    if (button.dataset.opens) { const fold = find(button.dataset.opens); if (fold) { fold.open = true; event.preventDefault(); const field = find("textarea, input:not([type=hidden]), select", fold); if (field) field.focus(); fold.scrollIntoView({ block: "center" }); } }
    if (button.dataset.say) { const field = find("#phone-body"); if (field) { field.value = button.dataset.say; field.focus(); } }
  });
  // ---- a picture opens above the page; without this the link leads to a page of its own
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("[data-picture]");
    const frame = find("#picture"), place = find("#picture-here");
    if (!link || !frame || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    try {
      const answer = await fetch(link.href, { headers: { "X-Part": "1" } });
      if (!answer.ok || answer.redirected) { location.href = link.href; return; }
      place.innerHTML = await answer.text();
      frame.showModal();
    } catch { location.href = link.href; }
  });
  const shut = find("#picture");
  if (shut) shut.addEventListener("close", () => find("#picture-here").replaceChildren());
  const scrollTalk = () => all("[data-talk-end]").forEach((talk) => { talk.scrollTop = talk.scrollHeight; });

  restoreDrafts(); restoreForms(); tick(); scrollTalk(); listen();
  setInterval(tick, 1000); setInterval(watch, 1000); setInterval(warn, 1000); setInterval(poll, POLL_EVERY);
})();
