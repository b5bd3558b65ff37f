import ArgumentParser
import Rudolph

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The command line after the program's name. Swift repairs arguments that are not UTF-8; here they are errors: the repaired name would be
/// another file's.
/// - Parameter advice: what to do about it, in parentheses.
package func utf8Arguments(advice: String = "") throws(ValidationError) -> [String] {
    var arguments: [String] = []
    for index in 1..<max(1, Int(CommandLine.argc)) {
        guard let argument = CommandLine.unsafeArgv[index] else { break }
        let bytes = UnsafeRawBufferPointer(start: argument, count: strlen(argument))
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let repaired = String(decoding: bytes, as: UTF8.self)
            let hint = advice.isEmpty ? "" : " (\(advice))"
            throw ValidationError("argument \(index), \"\(printable(repaired))\", is not UTF-8; expected UTF-8\(hint)")
        }
        arguments.append(text)
    }
    return arguments
}
