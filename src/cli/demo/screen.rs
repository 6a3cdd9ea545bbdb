//! What the demo shows: titles, lines, and claims with a check mark. Colours only on a terminal that wants them.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};

/// Standard output, and how many claims held so far.
pub(super) struct Screen {
    terminal: bool,
    colours: bool,
    chapters: usize,
    held: usize,
    broken: usize,
}

/// The colours in use, as the parameters of an escape sequence.
#[derive(Clone, Copy)]
pub(super) enum Paint {
    Bold,
    Dim,
    Good,
    Bad,
    Accent,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Accent => "36",
        }
    }
}

impl Screen {
    /// Standard output as it is. `NO_COLOR` (<https://no-color.org>) and a dumb terminal turn colours off.
    pub(super) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { terminal, colours: terminal && !refused && !dumb, chapters: 0, held: 0, broken: 0 }
    }

    /// Whether somebody looks at it, and not a file.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// `text` in a colour, where there are any.
    pub(super) fn paint(&self, paint: Paint, text: impl Display) -> String {
        if self.colours { format!("\x1b[{}m{text}\x1b[0m", paint.code()) } else { text.to_string() }
    }

    /// One line.
    pub(super) fn say(&self, line: impl Display) {
        // Whoever does not read on need not: the claims are checked all the same.
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// A line of detail.
    pub(super) fn detail(&self, line: impl Display) {
        self.say(format_args!("  {}", self.paint(Paint::Dim, line)));
    }

    /// The next part of the story.
    pub(super) fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        let number = self.paint(Paint::Accent, format_args!("{}.", self.chapters));
        self.say(format_args!("\n{number} {}", self.paint(Paint::Bold, title)));
    }

    /// A claim, held against what was seen.
    pub(super) fn check<T: PartialEq + Display>(&mut self, claim: impl Display, expected: T, seen: T) {
        if expected == seen {
            self.held += 1;
            self.say(format_args!("  {} {claim}", self.paint(Paint::Good, "✓")));
        } else {
            self.broken += 1;
            self.say(format_args!("  {} {claim}", self.paint(Paint::Bad, "✗")));
            self.say(format_args!("      expected {expected}"));
            self.say(format_args!("      seen     {seen}"));
        }
    }

    /// How many claims held, and how many did not.
    pub(super) fn score(&self) -> (usize, usize) {
        (self.held, self.broken)
    }
}

/// A count with its thousands apart.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The beginning of a long name.
pub(super) fn shortened(name: &str, length: usize) -> String {
    match name.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn only_long_names_are_shortened() {
        assert_eq!(["a…b", "a…bc"].map(|name| shortened(name, 3)), ["a…b", "a…b…"]);
    }

    #[test]
    fn a_claim_that_does_not_hold_counts_as_broken() {
        let mut screen = Screen { terminal: false, colours: false, chapters: 0, held: 0, broken: 0 };
        screen.check("one is one", 1, 1);
        screen.check("one is two", 1, 2);
        assert_eq!(screen.score(), (1, 1));
    }
}
