import Rudolph

/// One line on a terminal's standard error that is written over and over.
package struct ProgressLine {
    /// A longer line would wrap on a narrow terminal and could not be removed again; its beginning is what gives way.
    package static let width = 78

    package let isShown: Bool
    private var current = ""

    package init(isShown: Bool) {
        self.isShown = isShown
    }

    /// - Parameter text: names may be in it; control characters become visible.
    package mutating func show(_ text: String) {
        let text = printable(text)
        guard isShown, text != current else { return }
        writeToStandardError("\r\u{1b}[K" + text.suffix(Self.width))
        current = text
    }

    /// Removes the line. To be called before anything else is printed.
    package mutating func clear() {
        guard !current.isEmpty else { return }
        writeToStandardError("\r\u{1b}[K")
        current = ""
    }
}
