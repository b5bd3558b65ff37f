// Captions a picture of raw RGB pixels without blocking the caller, and stops when the surrounding task is cancelled.
//   Caption MODEL WIDTH HEIGHT PIXELS.rgb
import Foundation
import Rudolph

/// A session is for one caller at a time; an actor makes sure of that.
actor CaptionService {
    private let captioner: Captioner
    private nonisolated let stop: StopFlag

    init(model path: String) throws {
        let session = try Session(Model(path: path))
        captioner = Captioner(session)
        stop = session.stop
    }

    func caption(_ image: RGBImage) async throws -> String {
        stop.lower()
        return try await withTaskCancellationHandler {
            try captioner.captions(of: image, .greedy).first?.text ?? ""
        } onCancel: {
            stop.raise()
        }
    }
}

@main
struct Caption {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, let width = Int(arguments[2]), let height = Int(arguments[3]) else {
            print("usage: Caption MODEL WIDTH HEIGHT PIXELS.rgb")
            return
        }
        let pixels = try Data(contentsOf: URL(fileURLWithPath: arguments[4]))
        let image = try RGBImage(width: width, height: height, pixels: [UInt8](pixels))
        print(try await CaptionService(model: arguments[1]).caption(image))
    }
}
