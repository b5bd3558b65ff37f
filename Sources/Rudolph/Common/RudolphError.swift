/// What went wrong, in words for a user: the file, the place in it, what was found and what was expected.
public struct RudolphError: Error, CustomStringConvertible, Sendable {
    /// One line, without control characters.
    public let message: String
    /// Whether this is no failure but a progress handler's wish to stop.
    public let isStop: Bool

    /// - Parameter message: names and texts of a file may be in it; control characters become visible.
    public init(_ message: String) {
        self.message = printable(message)
        isStop = false
    }

    private init(stop message: String) {
        self.message = message
        isStop = true
    }

    /// What a task throws after its progress handler returned false.
    public static let stopped = RudolphError(stop: "stopped")

    /// The message.
    public var description: String { message }
}

/// A text with its control characters, which a terminal would obey, as \u{1b}.
package func printable(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        if scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) {
            result += "\\u{\(String(scalar.value, radix: 16))}"
        } else {
            result.unicodeScalars.append(scalar)
        }
    }
    return result
}
