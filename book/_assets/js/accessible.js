// Repairs what the theme leaves open for screen readers; tests/test_site.py holds every page to
// zero violations (axe-core), light and dark.
document.addEventListener("DOMContentLoaded", () => {
  const root = document.documentElement;

  // A name that says the state, not only "Color mode".
  const modes = { light: "Light", dark: "Dark", auto: "System Settings" };
  const nameSwitch = () => {
    for (const button of document.querySelectorAll(".theme-switch-button")) {
      button.setAttribute("aria-label", `Colour mode: ${modes[root.dataset.mode] ?? modes.auto}`);
    }
  };
  new MutationObserver(nameSwitch).observe(root, { attributeFilter: ["data-mode"] });
  nameSwitch();

  // A button that shows text is named by that text ("Search Ctrl+K"), so that saying it works.
  for (const button of document.querySelectorAll("button.search-button-field")) {
    button.setAttribute("aria-label", button.innerText.trim().replace(/\s+/g, " "));
  }

  // The logo stands outside every landmark.
  const home = document.querySelector(".bd-sidebar-primary .navbar-brand")?.parentElement;
  home?.setAttribute("role", "navigation");
  home?.setAttribute("aria-label", "Home");

  // What can be scrolled sideways must be reachable from the keyboard; formulas are wide on phones.
  const boxes =
    ".pst-scrollable-table-container, div.math, mjx-container, pre, .output, .kp-figure";
  const reach = () => {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth && box.tabIndex < 0) box.tabIndex = 0;
    }
  };
  addEventListener("resize", reach);
  addEventListener("load", () => {
    reach();
    window.MathJax?.startup?.promise?.then(reach);
  });
});
