export {}; // a module to the type checker; esbuild leaves a plain script
// Runs before the page is first painted: language and colours are right from the start.
{
  let chosen: { theme?: string; language?: string } = {};
  try {
    chosen = JSON.parse(localStorage.getItem("ernie.settings") ?? "{}");
  } catch {
    // The browser keeps nothing, or another program wrote there: the defaults hold.
  }
  const root = document.documentElement;
  if (chosen.theme === "light" || chosen.theme === "dark") root.dataset.theme = chosen.theme;
  const zh = chosen.language ? chosen.language === "zh" : navigator.language.startsWith("zh");
  root.lang = zh ? "zh-CN" : "en";
}
