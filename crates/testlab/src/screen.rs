//! What a person sees on a terminal: the bytes a program wrote, drawn on a grid of characters.
//!
//! Only what full-screen programs use: text, line ends, cursor positions, clearing. Colours are dropped.

/// A terminal's picture.
#[derive(Debug, Clone)]
pub struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// Draws `output` on a terminal of this size.
    #[must_use]
    pub fn of(output: &str, rows: usize, columns: usize) -> Self {
        let mut screen = Self { rows: vec![vec![' '; columns]; rows], row: 0, column: 0 };
        let mut characters = output.chars();
        while let Some(character) = characters.next() {
            match character {
                '\u{1b}' => screen.escape(&mut characters),
                '\r' => screen.column = 0,
                '\n' => screen.line_feed(),
                '\u{8}' => screen.column = screen.column.saturating_sub(1),
                other if other.is_control() => {}
                other => screen.put(other),
            }
        }
        screen
    }

    /// The picture, one line for each row.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    fn put(&mut self, character: char) {
        if let Some(cell) = self.rows.get_mut(self.row).and_then(|row| row.get_mut(self.column)) {
            *cell = character;
        }
        self.column += 1;
    }

    fn line_feed(&mut self) {
        if self.row + 1 < self.rows.len() {
            self.row += 1;
        } else if let Some(first) = self.rows.first() {
            let blank = vec![' '; first.len()];
            self.rows.remove(0);
            self.rows.push(blank);
        }
    }

    /// `ESC [ parameters final` (ECMA-48); other sequences are skipped.
    fn escape(&mut self, characters: &mut std::str::Chars<'_>) {
        if characters.next() != Some('[') {
            return;
        }
        let mut parameters = String::new();
        for character in characters.by_ref() {
            if ('@'..='~').contains(&character) {
                self.control(character, &parameters);
                return;
            }
            parameters.push(character);
        }
    }

    fn control(&mut self, last: char, parameters: &str) {
        let mut numbers = parameters.split(';').map(|number| number.parse::<usize>().unwrap_or(0));
        let first = numbers.next().unwrap_or(0);
        let second = numbers.next().unwrap_or(0);
        match last {
            'H' | 'f' => (self.row, self.column) = (first.max(1) - 1, second.max(1) - 1),
            'A' => self.row = self.row.saturating_sub(first.max(1)),
            'B' => self.row = (self.row + first.max(1)).min(self.rows.len().saturating_sub(1)),
            'C' => self.column += first.max(1),
            'D' => self.column = self.column.saturating_sub(first.max(1)),
            'G' => self.column = first.max(1) - 1,
            'J' if first >= 2 || (self.row, self.column) == (0, 0) => {
                self.rows.iter_mut().for_each(|row| row.fill(' '));
            }
            'K' => {
                if let Some(rest) = self.rows.get_mut(self.row).and_then(|row| row.get_mut(self.column..)) {
                    rest.fill(' ');
                }
            }
            // Colours, modes, and what no program here sends.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_lands_where_the_cursor_was_sent() {
        let screen = Screen::of("\u{1b}[2J\u{1b}[2;3Hab\u{1b}[31mc\u{1b}[0m\u{1b}[1;1Hx", 3, 8);
        assert_eq!(screen.text(), "x\n  abc\n");
    }

    #[test]
    fn a_full_screen_scrolls() {
        assert_eq!(Screen::of("a\r\nb\r\nc", 2, 4).text(), "b\nc");
    }

    #[test]
    fn drawing_outside_is_not_seen() {
        assert_eq!(Screen::of("\u{1b}[9;9Hx\u{1b}[1;4Habc", 1, 4).text(), "   a");
    }
}
