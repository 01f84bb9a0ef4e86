// Light or dark: as the system has it, until somebody chooses; the choice is remembered in this browser.
// The page's head has set it before anything was painted.

const KEPT = "gantry-theme";
const DARK = matchMedia("(prefers-color-scheme: dark)");

const kept = () => {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // a browser that keeps nothing
  }
};

export default {
  template: `
    <button type="button" class="theme" :aria-pressed="dark" :title="dark ? 'light' : 'dark'" @click="choose">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path :d="dark ? sun : moon" /></svg>
      <span class="hidden">dark colours</span>
    </button>`,
  data: () => ({
    dark: document.documentElement.dataset.theme === "dark",
    moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.500 10.500Z",
    sun: "M12 7.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9ZM12 2v2.500M12 19.500V22M2 12h2.500M19.500 12H22M4.900 4.900l1.800 1.800M17.300 17.300l1.800 1.800M4.900 19.100l1.800-1.800M17.300 6.700l1.800-1.800",
  }),
  mounted() {
    this.follow = () => kept() ?? this.set(DARK.matches);
    DARK.addEventListener("change", this.follow);
    this.set(this.dark);
  },
  beforeUnmount() {
    DARK.removeEventListener("change", this.follow);
  },
  methods: {
    choose() {
      this.set(!this.dark);
      try {
        localStorage.setItem(KEPT, this.dark ? "dark" : "light");
      } catch {
        // it lasts as long as the page
      }
    },
    set(dark) {
      this.dark = dark;
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      Quasar.Dark.set(dark);
    },
  },
};
