// Colours of code: a chunk of its own, loaded with the first block that names a language.
import hljs from "highlight/highlight";
import bash from "highlight/languages/bash";
import cpp from "highlight/languages/cpp";
import cs from "highlight/languages/cs";
import css from "highlight/languages/css";
import diff from "highlight/languages/diff";
import go from "highlight/languages/go";
import ini from "highlight/languages/ini";
import java from "highlight/languages/java";
import javascript from "highlight/languages/javascript";
import json from "highlight/languages/json";
import kotlin from "highlight/languages/kotlin";
import lua from "highlight/languages/lua";
import makefile from "highlight/languages/makefile";
import markdown from "highlight/languages/markdown";
import php from "highlight/languages/php";
import python from "highlight/languages/python";
import r from "highlight/languages/r";
import ruby from "highlight/languages/ruby";
import rust from "highlight/languages/rust";
import shell from "highlight/languages/shell";
import sql from "highlight/languages/sql";
import swift from "highlight/languages/swift";
import tex from "highlight/languages/tex";
import typescript from "highlight/languages/typescript";
import xml from "highlight/languages/xml";
import yaml from "highlight/languages/yaml";

const LANGUAGES = {
  bash, cpp, cs, css, diff, go, ini, java, javascript, json, kotlin, lua, makefile, markdown, php, python, r, ruby,
  rust, shell, sql, swift, tex, typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

// Markup of the code's text with spans of classes, still to be cleaned; null for an unknown language.
export function highlighted(language: string, code: string): string | null {
  return hljs.getLanguage(language) ? hljs.highlight(language, code, true).value : null;
}
