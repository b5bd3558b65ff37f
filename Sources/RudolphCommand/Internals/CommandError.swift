import Rudolph

/// A bad input, in words for a user. Ends the program with exit code 1.
struct CommandError: Error, CustomStringConvertible {
    let message: String

    init(_ message: String) {
        self.message = printable(message)
    }

    var description: String { message }
}
