import ArgumentParser
import ImageFiles
import Rudolph

/// Reads a PNG or JPEG file, or one picture from standard input for `-`.
func readImage(_ path: String) throws -> RGBImage {
    if path != "-" { return try readImageFile(path) }
    return try image(try Picture.standardInput(), name: path)
}

/// Reads a PNG or JPEG file, one named `-` as well.
func readImageFile(_ path: String) throws -> RGBImage {
    try image(try Picture(path: path), name: path)
}

private func image(_ picture: Picture, name: String) throws -> RGBImage {
    try naming(name) { () throws(RudolphError) in
        try RGBImage(width: picture.width, height: picture.height, pixels: picture.pixels)
    }
}

/// Puts the input's name before what the library says is wrong with it. Being stopped is no fault of the input: that ends the program.
func naming<Result>(_ name: String, _ body: () throws(RudolphError) -> Result) throws -> Result {
    do {
        return try body()
    } catch {
        if error.isStop { throw ExitCode.interrupted }
        throw CommandError("\(name): \(error.message)")
    }
}

/// Lets what the library says stand for itself, being stopped apart.
func running<Result>(_ body: () throws(RudolphError) -> Result) throws -> Result {
    do {
        return try body()
    } catch {
        if error.isStop { throw ExitCode.interrupted }
        throw CommandError(error.message)
    }
}

/// Standard input holds one picture.
func validateImages(_ paths: [String]) throws {
    if paths.count(where: { $0 == "-" }) > 1 {
        throw ValidationError("- is given more than once; standard input holds one picture")
    }
}
