import ArgumentParser
import CommandSupport

/// Lets one bad input not stop the rest: says what is wrong with it, goes on, and ends with exit code 1.
struct FailureCount {
    private var count = 0

    /// Runs `body`, in which a bad input is forgiven, but not an output that cannot be written or Ctrl-C.
    mutating func counting(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as OutputError {
            throw error
        } catch let error as ExitCode {
            throw error
        } catch {
            note("Error: \(error)")
            count += 1
        }
    }

    func exit() throws {
        if count > 0 { throw ExitCode(1) }
    }
}
