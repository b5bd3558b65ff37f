import ImageFiles
import Rudolph

extension RGBImage {
    init(_ picture: Picture) throws(RudolphError) {
        try self.init(width: picture.width, height: picture.height, pixels: picture.pixels)
    }
}

extension Picture {
    init(_ image: RGBImage) throws(ImageFileError) {
        try self.init(width: image.width, height: image.height, pixels: image.pixels)
    }
}
