// Draws a text and writes a binary PPM to standard output: Draw MODEL TEXT > picture.ppm
import Foundation
import Rudolph

@main
struct Draw {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            print("usage: Draw MODEL TEXT > picture.ppm")
            return
        }
        let session = try Session(Model(path: arguments[1]))
        var options = DrawOptions()
        options.seed = 1
        let drawings = try Drawer(session).draw(
            arguments[2], options,
            progress: { progress in
                FileHandle.standardError.write(Data("\(progress.done)/\(progress.total)\r".utf8))
                return true
            })
        let picture = try session.image(of: drawings[0].tokens)
        FileHandle.standardOutput.write(Data("P6 \(picture.width) \(picture.height) 255\n".utf8) + Data(picture.pixels))
    }
}
