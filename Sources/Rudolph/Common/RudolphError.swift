/// What went wrong, in words for a user: the file, the place in it, what was found and what was expected.
public struct RudolphError: Error, CustomStringConvertible, Sendable {
    /// What a program can do something about.
    public enum Kind: Sendable {
        /// Options, texts or pictures that cannot be, or ask for what the model has not.
        case invalidArgument
        /// A model file of another kind or damaged; that its weights are is found only by a task.
        case invalidFile
        /// Memory that the system did not give.
        case outOfMemory
        /// What else the system refused: a file that cannot be opened, threads.
        case system
        /// Another task runs on the session, on another thread or around the handler that began this one.
        case inUse
        /// No failure but the wish of a progress handler or of who raised `Session.stop`.
        case stopped
    }

    /// One line, without control characters.
    public let message: String
    /// What kind of error it is.
    public let kind: Kind

    /// - Parameters:
    ///   - message: names and texts of a file may be in it; control characters become visible.
    ///   - kind: of the error.
    public init(_ message: String, kind: Kind = .invalidArgument) {
        self.message = printable(message)
        self.kind = kind
    }

    /// What a task throws after its progress handler returned false.
    public static let stopped = RudolphError("stopped", kind: .stopped)

    /// What a task throws that is begun while another one runs on its session.
    static let inUse = RudolphError("the session is in use: another task runs on it; a session runs one at a time", kind: .inUse)

    static func invalidFile(_ message: String) -> RudolphError { RudolphError(message, kind: .invalidFile) }

    static func outOfMemory(_ message: String) -> RudolphError { RudolphError(message, kind: .outOfMemory) }

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
