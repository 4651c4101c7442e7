// The theme breaks a few accessibility rules; tests/test_site.py holds every page to none (axe-core).
document.addEventListener("DOMContentLoaded", () => {});
