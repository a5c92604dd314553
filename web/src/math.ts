// Formulas: a chunk of its own, loaded with the first one.
import katex from "katex";

interface Tree {
  attributes?: Record<string, string>;
  children?: Tree[];
}

// KaTeX sets most styles through the CSSOM, which the page's Content-Security-Policy lets pass,
// but those of stretched glyphs as an attribute, which it does not. They are put aside.
function setStylesAside(node: Tree) {
  const style = node.attributes?.style;
  if (node.attributes && style !== undefined) {
    delete node.attributes.style;
    node.attributes["data-style"] = style;
  }
  for (const child of node.children ?? []) setStylesAside(child);
}

// Throws for what is no formula.
export function formula(tex: string, displayMode: boolean): HTMLElement {
  const tree = katex.__renderToDomTree(tex, {
    displayMode, throwOnError: true, strict: "ignore", trust: false, maxSize: 40, maxExpand: 200,
  });
  setStylesAside(tree);
  const element = tree.toNode();
  for (const styled of element.querySelectorAll<HTMLElement>("[data-style]")) {
    styled.style.cssText = styled.dataset.style ?? "";
    delete styled.dataset.style;
  }
  return element;
}
