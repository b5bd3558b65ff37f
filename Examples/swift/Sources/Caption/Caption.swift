// Captions a PNG or JPEG file without blocking the caller, and stops when the surrounding task is cancelled: Caption MODEL PICTURE
import ImageFiles
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
        guard arguments.count == 3 else {
            print("usage: Caption MODEL PICTURE")
            return
        }
        let picture = try Picture(path: arguments[2])
        let image = try RGBImage(width: picture.width, height: picture.height, pixels: picture.pixels)
        print(try await CaptionService(model: arguments[1]).caption(image))
    }
}
