//! Index expressions, `[2 * i + 1]`, which the macro hands over as text.

use crate::kernel::parse_int;

/// The value of an expression of integers, known names, `+ - * / %` and parentheses.
pub(crate) fn evaluate(text: &str, names: &dyn Fn(&str) -> Option<i128>) -> Result<i128, String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut parser = Parser { rest: &text, names };
    let value = parser.sum()?;
    if parser.rest.is_empty() {
        Ok(value)
    } else {
        Err(format!("cannot read {}", parser.rest))
    }
}

struct Parser<'a> {
    rest: &'a str,
    names: &'a dyn Fn(&str) -> Option<i128>,
}

impl Parser<'_> {
    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Result<i128, String> {
        let mut value = self.product()?;
        loop {
            if self.take('+') {
                value += self.product()?;
            } else if self.take('-') {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<i128, String> {
        let mut value = self.atom()?;
        loop {
            if self.take('*') {
                value *= self.atom()?;
            } else if self.rest.starts_with(['/', '%']) {
                let divide = self.take('/') || !self.take('%');
                match self.atom()? {
                    0 => return Err("division by zero".into()),
                    d if divide => value /= d,
                    d => value %= d,
                }
            } else {
                return Ok(value);
            }
        }
    }

    fn atom(&mut self) -> Result<i128, String> {
        if self.take('(') {
            let value = self.sum()?;
            return if self.take(')') {
                Ok(value)
            } else {
                Err("a parenthesis is open".into())
            };
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let value = if word.starts_with(|c: char| c.is_ascii_digit()) {
            parse_int(word)
        } else {
            (self.names)(word)
        };
        value.ok_or_else(|| {
            format!("{word} is not known here; only loop variables are (bind a const generic with `for n in N..(N + 1)`)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_integer_arithmetic() {
        let names = |n: &str| (n == "i").then_some(3);
        let eval = |t: &str| evaluate(t, &names);
        assert_eq!(eval("2 * i + 1"), Ok(7));
        assert_eq!(eval("(i+1)*2-i/2"), Ok(7));
        assert_eq!(eval("0x1f%4_usize"), Ok(3));
        assert!(eval("N - 1").unwrap_err().contains("N is not known"));
        assert!(eval("i +").is_err());
        assert!(eval("i / 0").is_err());
    }
}
