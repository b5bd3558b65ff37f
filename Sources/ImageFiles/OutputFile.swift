import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Files that are either written whole or left as they were.
package enum OutputFile {
    /// Writes beside `path`, syncs and renames. A symbolic link stays one: the file that it names is replaced, or made. What is no
    /// regular file (a pipe, a device) is written to as it is.
    package static func write(_ bytes: [UInt8], path: String) throws(ImageFileError) {
        var information = stat()
        guard stat(path, &information) == 0 else {
            guard errno == ENOENT else { throw ImageFileError("\(path): \(errorText())") }
            return try replace(path, with: bytes)
        }
        switch information.st_mode & S_IFMT {
        case S_IFREG:
            try replace(path, with: bytes)
        case S_IFDIR:
            throw ImageFileError("\(path): it is a directory; expected the name of a file to write")
        default:
            let descriptor = open(path, O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw ImageFileError("\(path): \(errorText())") }
            defer { close(descriptor) }
            let code = rp_write(descriptor, bytes, UInt64(bytes.count))
            guard code == 0 else { throw ImageFileError("\(path): \(errorText(code))") }
        }
    }

    /// Whether `write` replaces or makes a regular file, rather than writing to what is there.
    package static func isReplaced(path: String) -> Bool {
        var information = stat()
        return stat(path, &information) == 0 ? information.st_mode & S_IFMT == S_IFREG : errno == ENOENT
    }

    /// Throws when `write` is bound to fail: to be asked before long work, not instead of `write`'s own errors.
    package static func check(path: String) throws(ImageFileError) {
        guard !path.isEmpty else { throw ImageFileError("an empty name for an output file") }
        guard path != "-" else { throw ImageFileError("-: expected the name of a file to write; ./- is a file of that name") }
        var information = stat()
        if stat(path, &information) == 0 {
            let kind = information.st_mode & S_IFMT
            guard kind != S_IFDIR else { throw ImageFileError("\(path): it is a directory; expected the name of a file to write") }
            guard kind == S_IFREG else { return }
        } else if errno != ENOENT {
            throw ImageFileError("\(path): \(errorText())")
        }
        let code = rp_output_check(path)
        guard code == 0 else { throw ImageFileError("\(path): cannot write beside it: \(errorText(code))") }
    }

    /// Makes a folder; its parent must be there. One that is there already is no error.
    package static func makeFolder(path: String) throws(ImageFileError) {
        guard mkdir(path, 0o777) != 0 else { return }
        let code = errno
        guard code == EEXIST else { throw ImageFileError("\(path): \(errorText(code))") }
        try checkFolder(path: path)
    }

    /// Throws where something else is there than a folder.
    package static func checkFolder(path: String) throws(ImageFileError) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return }
        guard stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFDIR else {
            throw ImageFileError("\(path): it is no folder; expected one")
        }
    }

    private static func replace(_ path: String, with bytes: [UInt8]) throws(ImageFileError) {
        var output: OpaquePointer?
        var code = rp_output_open(path, &output)
        guard code == 0 else { throw ImageFileError("\(path): cannot write beside it: \(errorText(code))") }
        defer { rp_output_close(output) }
        code = rp_output_write(output, bytes, UInt64(bytes.count), 0)
        if code == 0 { code = rp_output_commit(output) }
        guard code == 0 else { throw ImageFileError("\(path): \(errorText(code))") }
    }
}
