//! All colors of drawings. `chart.css` has the same ones; a test compares them.

/// Red, green and blue.
pub type Color = [u8; 3];

/// Colors of one theme by their name in the style sheet.
#[derive(Debug)]
pub struct Theme {
    pub ground: Color,
    pub ink: Color,
    pub value: Color,
    pub limit: Color,
    pub baseline: Color,
    pub band: Color,
    pub firing: Color,
    pub hatch: Color,
    pub grid: Color,
    pub bars: Color,
}

pub const LIGHT: Theme = Theme {
    ground: [0xff, 0xff, 0xff],
    ink: [0x1f, 0x23, 0x28],
    value: [0x0b, 0x5c, 0xad],
    limit: [0xc2, 0x41, 0x0c],
    baseline: [0x57, 0x60, 0x6a],
    band: [0xd3, 0xe3, 0xf3],
    firing: [0xff, 0xeb, 0xe9],
    hatch: [0xb6, 0xbd, 0xc5],
    grid: [0xe4, 0xe7, 0xeb],
    bars: [0xc9, 0xd1, 0xd9],
};

pub const DARK: Theme = Theme {
    ground: [0x0f, 0x14, 0x19],
    ink: [0xe6, 0xed, 0xf3],
    value: [0x6c, 0xb6, 0xff],
    limit: [0xff, 0x9a, 0x6b],
    baseline: [0x9a, 0xa4, 0xaf],
    band: [0x1c, 0x33, 0x49],
    firing: [0x2e, 0x1b, 0x1b],
    hatch: [0x4a, 0x54, 0x5e],
    grid: [0x23, 0x2a, 0x32],
    bars: [0x37, 0x40, 0x4a],
};

/// Lines of versions.
pub const VERSIONS: [Color; 5] =
    [[0x0b, 0x5c, 0xad], [0xd9, 0x77, 0x06], [0x8e, 0x4e, 0xc6], [0x0f, 0x76, 0x6e], [0x11, 0x18, 0x27]];

/// Lines of versions on a dark ground.
pub const VERSIONS_DARK: [Color; 5] =
    [[0x6c, 0xb6, 0xff], [0xf5, 0xa5, 0x24], [0xc9, 0x9b, 0xf0], [0x4f, 0xc9, 0xbd], [0xe5, 0xe7, 0xeb]];

/// Shades of a heatmap from small to large.
pub const SHADES: [Color; 7] = ramp([0xf2, 0xf6, 0xfa], [0x7c, 0xa6, 0xc9], [0x0b, 0x3c, 0x66]);

/// Shades of a heatmap from better than usual to worse.
pub const AGAINST_USUAL: [Color; 7] = ramp([0x0b, 0x5c, 0x8c], [0xf3, 0xf3, 0xf3], [0x9a, 0x4a, 0x00]);

/// Seven steps by way of a color in the middle.
const fn ramp(from: Color, middle: Color, to: Color) -> [Color; 7] {
    let mut shades = [middle; 7];
    let mut n = 0;
    while n < 3 {
        shades[n] = between(from, middle, n);
        shades[6 - n] = between(to, middle, n);
        n += 1;
    }
    shades
}

/// The color `n` of 3 steps on the way.
#[expect(clippy::cast_possible_truncation, reason = "a mean of bytes is a byte")]
const fn between(from: Color, to: Color, n: usize) -> Color {
    let mut color = from;
    let mut part = 0;
    while part < 3 {
        color[part] = ((from[part] as usize * (3 - n) + to[part] as usize * n) / 3) as u8;
        part += 1;
    }
    color
}

/// `#0b5cad`.
pub fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

impl Theme {
    /// Names of the style sheet with their colors.
    pub fn named(&self) -> [(&'static str, Color); 10] {
        [
            ("ground", self.ground),
            ("ink", self.ink),
            ("value", self.value),
            ("limit", self.limit),
            ("baseline", self.baseline),
            ("band", self.band),
            ("firing", self.firing),
            ("hatch", self.hatch),
            ("grid", self.grid),
            ("bars", self.bars),
        ]
    }
}

/// The style sheet of a drawing that is a file of its own: the classes of pages with the colors of the light theme, because many
/// programs that show such a file know no custom properties.
pub fn light_stylesheet() -> String {
    stylesheet(&LIGHT, VERSIONS)
}

/// The rules of `chart.css` with the colors of a theme in place of custom properties.
fn stylesheet(theme: &Theme, versions: [Color; 5]) -> String {
    const CSS: &str = include_str!("../web/assets/chart.css");
    let rules = CSS.split_once("/* rules */").map_or("", |(_, rules)| rules);
    let rules = rules.split_once("/* screens */").map_or(rules, |(rules, _)| rules);
    let mut text = rules.split_whitespace().collect::<Vec<_>>().join(" ");
    for (name, color) in theme.named() {
        text = text.replace(&format!("var(--c-{name})"), &hex(color));
    }
    for (n, color) in versions.into_iter().enumerate() {
        text = text.replace(&format!("var(--c-version-{})", n + 1), &hex(color));
    }
    for (n, (value, usual)) in SHADES.into_iter().zip(AGAINST_USUAL).enumerate() {
        text = text.replace(&format!("var(--c-shade-{})", n + 1), &hex(value));
        text = text.replace(&format!("var(--c-usual-{})", n + 1), &hex(usual));
    }
    text
}
