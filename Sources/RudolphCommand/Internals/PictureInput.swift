import ArgumentParser
import ImageFiles
import Rudolph

/// Reads a PNG or JPEG file, or one picture from standard input for `-`.
func readImage(_ path: String) throws -> RGBImage {
    let image = Result { path == "-" || !isRegularFile(path) ? try endingOnInterrupt { try readStream(path) } : try readImageFile(path) }
    // Of a pipe's writer that the same Ctrl-C has ended nothing needs to be said.
    try checkInterruption()
    return try image.get()
}

/// Reads a PNG or JPEG file, one named `-` as well.
func readImageFile(_ path: String) throws -> RGBImage {
    let picture = try Picture(path: path)
    return try naming(path) { () throws(RudolphError) in try RGBImage(picture) }
}

private func readStream(_ path: String) throws -> RGBImage {
    if path != "-" { return try readImageFile(path) }
    let picture = try Picture.standardInput()
    return try naming(path) { () throws(RudolphError) in try RGBImage(picture) }
}

/// Puts the input's name before what the library says is wrong with it. Being stopped is no fault of the input: that ends the program.
func naming<Result>(_ name: String, _ body: () throws(RudolphError) -> Result) throws -> Result {
    do {
        return try body()
    } catch {
        if error.kind == .stopped { throw ExitCode.interrupted }
        throw CommandError("\(name): \(error.message)")
    }
}

/// Lets what the library says stand for itself, being stopped apart.
func running<Result>(_ body: () throws(RudolphError) -> Result) throws -> Result {
    do {
        return try body()
    } catch {
        if error.kind == .stopped { throw ExitCode.interrupted }
        throw CommandError(error.message)
    }
}

/// Standard input holds one picture.
func validateImages(_ paths: [String]) throws {
    if paths.count(where: { $0 == "-" }) > 1 {
        throw ValidationError("- is given more than once; standard input holds one picture")
    }
}
