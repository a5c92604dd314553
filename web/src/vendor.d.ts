// Debian's types of DOMPurify need a package that Debian does not have.
declare module "dompurify" {
  interface AttributeEvent {
    attrName: string;
    attrValue: string;
    keepAttr: boolean;
  }
  interface Options {
    ALLOWED_TAGS: string[];
    ALLOWED_ATTR: string[];
    ALLOW_DATA_ATTR: false;
    ALLOW_ARIA_ATTR: false;
    ALLOWED_URI_REGEXP: RegExp;
    ADD_URI_SAFE_ATTR: string[]; // attributes that hold no address
    RETURN_DOM_FRAGMENT: true;
  }
  const DOMPurify: {
    addHook(point: "uponSanitizeAttribute", hook: (node: Element, data: AttributeEvent) => void): void;
    addHook(point: "afterSanitizeAttributes", hook: (node: Element) => void): void;
    sanitize(html: string, options: Options): DocumentFragment;
  };
  export default DOMPurify;
}

declare module "katex" {
  interface Node {
    attributes?: Record<string, string>;
    children?: Node[];
    toNode(): HTMLElement;
  }
  interface Options {
    displayMode: boolean;
    throwOnError: boolean;
    strict: false | "ignore";
    trust: false;
    maxSize: number;
    maxExpand: number;
  }
  const katex: { __renderToDomTree(tex: string, options: Options): Node };
  export default katex;
}

declare module "highlight/highlight" {
  type Language = (hljs: unknown) => unknown;
  const hljs: {
    registerLanguage(name: string, language: Language): void;
    getLanguage(name: string): unknown;
    highlight(name: string, code: string, ignoreIllegals: boolean): { value: string };
  };
  export default hljs;
}

declare module "highlight/languages/*" {
  const language: (hljs: unknown) => unknown;
  export default language;
}
