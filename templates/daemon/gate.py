#!/usr/bin/python3 -I
# The forced command of the key of pgs's daemon: runs what drills and switchovers need on this host, and refuses everything else.
# What that is stands in /etc/pgs/daemon-gate.json; `pgs daemon grant` writes both. Nothing here is read by a shell: the words of the
# command are compared one by one, then run as they are.
# With --check FILE it tells, for tests, what it would do: FILE has the rules, standard input {"line": text, "stdin": text}.
import hashlib
import json
import os
import re
import sys
import syslog

RULES = "/etc/pgs/daemon-gate.json"
INPUT_MAX = 1 << 20
PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./^-]+")
# As pgs begins every command: a time limit, the language and the path.
PREFIX = ["timeout", "-k", "5", None, "env", "LC_ALL=C.UTF-8",
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
SUDO = ["sudo", "-n", "--"]


class Refused(Exception):
    pass


def read_line(text, at):
    """Words from `at` to the end of the line, as lists between `|`; plain words and single quotes are all that pgs writes."""
    commands, words, word = [], [], None
    while at < len(text) and text[at] != "\n":
        c = text[at]
        plain = PLAIN.match(text, at)
        if plain:
            word, at = (word or "") + plain.group(), plain.end()
        elif c == "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise Refused("a quote is not closed")
            word, at = (word or "") + text[at + 1:end], end + 1
        elif text.startswith("\\'", at):
            word, at = (word or "") + "'", at + 2
        elif c in " |":
            if word is not None:
                words.append(word)
            if c == "|":
                commands.append(words)
                words = []
            word, at = None, at + 1
        else:
            raise Refused("it has %r outside of quotes" % c)
    if word is not None:
        words.append(word)
    return commands + [words], at


def matches(pattern, word):
    if isinstance(pattern, str):
        return pattern == word
    if "sha256" in pattern:
        return hashlib.sha256(word.encode()).hexdigest() == pattern["sha256"]
    return re.fullmatch(pattern["like"], word) is not None


def rules_for(rules, words):
    found = [r for r in rules if len(r["argv"]) == len(words) and all(map(matches, r["argv"], words))]
    if not found:
        raise Refused("%s is not among the commands that drills and switchovers need" % " ".join(words)[:200])
    return found


def permitted(rules, words, stdin):
    for rule in rules_for(rules, words):
        wanted = rule.get("stdin", "")
        if wanted == {"undo": True}:
            check_undo(rules, stdin)
            return
        if matches(wanted, stdin):
            return
    raise Refused("its standard input is not one that %s takes" % words[0])


CODES = re.compile(r"case \$\? in [0-9]+(\|[0-9]+)*\) ;; \*\) failed=1 ;; esac\n")


def check_undo(rules, text):
    """An undo is a list of commands, each of which has to be permitted by itself."""
    head, tail = "failed=0\n", "exit $failed\n"
    if not text.startswith(head):
        raise Refused("an undo begins otherwise")
    at = len(head)
    while text[at:] != tail:
        commands, end = read_line(text, at)
        if len(commands) == 2 and commands[0][:2] == ["printf", "%s"] and len(commands[0]) == 3:
            permitted(rules, commands[1], commands[0][2])
        elif len(commands) == 1 and commands[0]:
            permitted(rules, commands[0], "")
        else:
            raise Refused("an undo has other commands")
        codes = CODES.match(text, end + 1)
        if not codes:
            raise Refused("an undo goes on otherwise")
        at = codes.end()


def command_of(line):
    """The words of the line, and those of the command in it."""
    commands, end = read_line(line, 0)
    if end != len(line) or len(commands) != 1:
        raise Refused("it is more than one command")
    words = commands[0]
    inner = words[3:] if words[:3] == SUDO else words
    start = inner[:len(PREFIX)]
    if len(start) != len(PREFIX) or any(p is not None and p != w for p, w in zip(PREFIX, start)):
        raise Refused("it is not a command as pgs writes it")
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", inner[3]):
        raise Refused("its time limit is none")
    return words, inner[len(PREFIX):]


def text_of(data):
    if len(data) > INPUT_MAX:
        raise Refused("its standard input is too long")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused("its standard input is no text")


def check(path):
    with open(path) as file:
        rules = json.load(file)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            permitted(rules, command_of(asked["line"])[1], asked["stdin"])
            print("permitted")
        except Refused as why:
            print(why)


def main():
    line = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    try:
        with open(RULES) as file:
            rules = json.load(file)
        words, inner = command_of(line)
        # Before anything is read: who asks for something else may never end what it sends.
        rules_for(rules, inner)
        data = sys.stdin.buffer.read(INPUT_MAX + 1)
        permitted(rules, inner, text_of(data))
    except Refused as why:
        syslog.openlog("pgs-daemon-gate", 0, syslog.LOG_AUTH)
        syslog.syslog(syslog.LOG_WARNING, "refused: %s" % str(why)[:300].replace("\n", " "))
        sys.stderr.write("the key of pgs's daemon does not permit this: %s; after an upgrade of pgs run `pgs daemon grant` again\n" % why)
        sys.exit(126)
    # Fed from memory, so that the command reads exactly what was judged.
    feed = os.memfd_create("stdin")
    os.write(feed, data)
    os.lseek(feed, 0, os.SEEK_SET)
    os.dup2(feed, 0)
    os.execvp(words[0], words)


if sys.argv[1:2] == ["--check"]:
    check(sys.argv[2])
else:
    main()
