/** An element: functions among `attributes` are listeners; false, null and undefined ones are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Set or remove an attribute, touching the page only where that changes something. */
export function mark(element, name, value) {
  const wanted = value === true ? "" : value;
  if (value === false || value == null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(wanted)) element.setAttribute(name, wanted);
}

/** What this browser (`sessionStorage`: this tab) remembers under a name; null where that is nothing, or not allowed. */
export function remembered(name, where = "localStorage") {
  try {
    return globalThis[where].getItem(`batch-removebg.${name}`);
  } catch {
    return null;
  }
}

export function remember(name, value, where = "localStorage") {
  try {
    globalThis[where].setItem(`batch-removebg.${name}`, value);
  } catch {
    // a private window, or a full store: the next visit begins with the defaults
  }
}

/** Shows a dialog and resolves with the value of the button that closed it; "" where it was left. */
export function showDialog(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

/** `work`, done at most once a frame however often it is asked for. */
export function framed(work) {
  let due = 0;
  return () => {
    due ||= requestAnimationFrame(() => {
      due = 0;
      work();
    });
  };
}
