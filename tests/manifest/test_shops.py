"""Manifests as shops, spreadsheets and people write them."""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest

from batch_removebg.errors import ManifestError
from batch_removebg.manifest.cells import as_url, split
from batch_removebg.manifest.columns import Choice
from tests.support.items import buffered, read

U, V = "https://cdn.example/a.jpg", "https://cdn.example/b.jpg"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(name: str, content: str | bytes, **choice: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """(Id, source or problem) of each item, and what was said."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    said: list[str] = []
    items = read([name], out=None, on_warning=said.append, choice=Choice(**choice, note=said.append))
    return [(item.id, item.problem or item.source) for item in items], said


def pairs(name: str, content: str | bytes, **choice: Any) -> list[tuple[str, str]]:
    return found(name, content, **choice)[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_delimits_is_told_by_the_header_whatever_the_files_ending(
    delimiter: str, name: str, encoding: str
) -> None:
    lines = ["id", "image", "title (a, b; c|d)"], ["A", "a.jpg", "x"]
    quoted = ('"' + f'"{delimiter}"'.join(cells) + '"' for cells in lines)
    assert pairs(name, "\r\n".join(quoted).encode(encoding)) == [("A", "a.jpg")]


def test_a_line_that_names_the_delimiter_is_taken_at_its_word() -> None:
    assert pairs("a.csv", "sep=;\r\nimage;id\r\na.jpg;A\r\n") == [("A", "a.jpg")]
    assert pairs("a.csv", '"sep=^"\nimage^id\na.jpg^A\n') == [("A", "a.jpg")]


SHOPS = {
    "Shopify": ("Handle,Title,Variant SKU,Image Src,Image Position,Variant Image", "Image Src", "Handle"),
    "WooCommerce": ("ID,Type,SKU,Name,Images", "Images", "ID"),
    "Magento": ("sku,name,base_image,base_image_label,small_image,additional_images", "base_image", "sku"),
    "Google": ("id,title,link,image_link,additional_image_link", "image_link", "id"),
    "Akeneo": ("identifier;family;picture-en_US-ecommerce", "picture-en_US-ecommerce", "identifier"),
    "BigCommerce": ("Product ID,Product Code/SKU,Product Image File - 1,Product Image URL - 1",
                    "Product Image URL - 1", "Product Code/SKU"),
    "JTL": ("Artikel-Nr.;Bild", "Bild", "Artikel-Nr."),
    "Amazon": ("item_sku\tmain_image_url\tother_image_url1", "main_image_url", "item_sku"),
    "PrestaShop": ("Product ID;Reference #;Image URLs (x,y,z...)", "Image URLs (x,y,z...)", "Reference #"),
    "Squarespace": ("Product ID [Non Editable],Hosted Image URLs", "Hosted Image URLs", "Product ID [Non Editable]"),
    "Wix": ("handleId,fieldType,productImageUrl", "productImageUrl", "handleId"),
    "Ecwid": ("product_sku,product_media_main_image_url,product_media_main_image_alt",
              "product_media_main_image_url", "product_sku"),
    "Shopware": ("productNumber;cover.media.id;cover.media.url;cover.media.title", "cover.media.url", "productNumber"),
    "Etsy": ("TITLE,IMAGE1,IMAGE2,SKU", "IMAGE1", "SKU"),
    "eBay": ("*Action(CC=UTF-8);CustomLabel;PicURL", "PicURL", "CustomLabel"),
}  # fmt: skip


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("change", [str, str.upper, lambda text: text.replace("_", " ").replace(" ", "  ")])
def test_pictures_and_ids_of_shops_exports_are_found_in_any_case_and_spacing(shop: str, change: Any) -> None:
    header, image, own = SHOPS[shop]
    if shop != "Akeneo":  # whose locales are written in one way
        header, image, own = map(change, (header, image, own))
    delimiter = next(one for one in "\t;," if one in header)
    columns = header.split(delimiter)
    row = [{image: U, own: "A"}.get(column, "x") for column in columns]
    items, said = found("a.csv", f"{header}\n{delimiter.join(row)}\n")
    assert items == [("A", U)]
    assert f"pictures from {image!r}, ids from {own!r}" in said[0]


def test_lines_above_the_header_and_a_second_header_are_no_rows() -> None:
    amazon = "TemplateType=x\tVersion=1\nSeller SKU\tMain Image URL\nitem_sku\tmain_image_url\nA1\ta.jpg\n"
    assert pairs("a.csv", amazon) == [("A1", "a.jpg")]
    assert pairs("a.csv", f"#INFO,Version=1\n\nCustom label (SKU),Item photo URL\nE1,{U}\n") == [("E1", U)]


def test_a_table_called_txt_is_a_table_and_a_list_stays_one() -> None:
    assert pairs("a.txt", f"id\ttitle\timage_link\nG1\tx\t{U}\n") == [("G1", U)]
    assert pairs("a.txt", b"# image, id\na, b.jpg\n\xff\nimage\n") == [
        ("a, b.jpg", "a, b.jpg"),
        ("a.txt:3", "not valid UTF-8; save it as UTF-8 (in Excel: “CSV UTF-8”)."),
        ("image", "image"),
    ]


def test_other_picture_columns_and_repeated_names_are_said_and_left_alone() -> None:
    items, said = found("a.csv", "id,Image Src,Variant Image,title,title\nA,a.jpg,b.jpg,x,y\n")
    assert items == [("A", "a.jpg")]
    assert " ".join(said) == (
        "a.csv: commas divide it; pictures from 'Image Src', ids from 'id'; left alone: 'Variant Image'; "
        "of two named 'title' the first counts"
    )
    assert list(next(read(["a.csv"], out=None)).meta.items()) == [("Variant Image", "b.jpg"), ("title", "x")]
    assert pairs("a.csv", "id,image,Image\nA,a.jpg,b.jpg\n") == [("A", "a.jpg")]


def test_a_list_without_a_header_is_told_what_was_found_in_its_place() -> None:
    with pytest.raises(ManifestError, match=r"\(found: https://cdn.example/a.jpg\)"):
        found("a.csv", f"{U}\n{V}\n")


def test_columns_may_be_named_and_a_misspelt_one_brings_the_nearest() -> None:
    content = "id,Artikelnr,image,Freisteller\nA,7,a.jpg,b.jpg\n"
    assert pairs("a.csv", content, image="freisteller", id="ARTIKELNR") == [("7", "b.jpg")]
    assert pairs("a.jsonl", '{"image": "a.jpg", "shot": "b.jpg"}', image="Shot") == [("b.jpg", "b.jpg")]
    with pytest.raises(ManifestError, match="no column 'Freistelle'; did you mean 'Freisteller'"):
        found("a.csv", content, image="Freistelle")
    with pytest.raises(ManifestError, match="no column 'Artikel'; did you mean 'Artikelnr'"):
        found("a.csv", content, id="Artikel")


def test_where_the_id_is_empty_the_next_column_with_ids_tells_the_row() -> None:
    assert pairs("a.csv", f"handleId,productImageUrl,sku\np1,{U},\np2,{V},S2\n") == [("p1", U), ("S2", V)]
    assert pairs("a.jsonl", '{"image": "a.jpg", "reference": {"x": 1}, "ean": 40}') == [("40", "a.jpg")]


@pytest.mark.parametrize("between", [", ", ",", "|", ";", " ", "\n", " | "])
def test_each_url_of_a_cell_is_an_item(between: str) -> None:
    items = pairs("a.csv", f'sku,image\nA,"{U}{between}{V}"\nB,{U}\n')
    assert items == [("A-1", U), ("A-2", V), ("B", U)]


@pytest.mark.parametrize(
    ("cell", "pictures"),
    [
        ("https://x/w_1,h_2/a.jpg", ["https://x/w_1,h_2/a.jpg"]),
        ("https://x/?u=https://y/a;b|c", ["https://x/?u=https://y/a;b|c"]),
        (f"{U},//cdn.example/b.jpg,", [U, "//cdn.example/b.jpg"]),
        (f"{U} {U}", [U]),
        (f"front (1).jpg ({U}),back.jpg ({V})", [U, V]),
        (f'["{U}", "{V}"]', [U, V]),
        ("a.jpg,b.jpg", ["a.jpg", "b.jpg"]),
        ("a.jpg,gone.jpg", ["a.jpg,gone.jpg"]),
        ("a,b.jpg", ["a,b.jpg"]),
        (" ", []),
        ("no_selection", []),
        ("NULL", []),
    ],
)
def test_a_cell_is_split_only_where_each_part_is_a_picture(cell: str, pictures: list[str]) -> None:
    assert split(cell, {"a.jpg", "b.jpg", "a,b.jpg", "a"}.__contains__) == pictures


def test_json_arrays_in_any_wrapping_are_rows() -> None:
    wrapped = {
        "meta": {"page": 1},
        "data": {"products": [{"sku": "A", "images": [{"src": U}, {"src": V}]}, {"sku": "B"}]},
    }
    items, said = found("a.json", json.dumps(wrapped))
    assert items == [("A-1", U), ("A-2", V)]
    assert said == [
        "a.json: pictures from 'images', ids from 'sku'",
        "1 row has no picture, the first in a.json:2; passed by.",
    ]
    assert pairs("a.json", json.dumps([U, "b.jpg"])) == [(U, U), ("b.jpg", "b.jpg")]
    assert pairs("a.json", '{"image": "a.jpg"}\n{"image": "b.jpg"}\n') == [("a.jpg", "a.jpg"), ("b.jpg", "b.jpg")]
    with pytest.raises(ManifestError, match=r"a\.json: not valid JSON"):
        found("a.json", "[{]")


def workbook(*sheets: str) -> bytes:
    """A workbook with these rows of <c> elements in its sheets."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    numbers = range(1, len(sheets) + 1)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("[Content_Types].xml", f'<Types xmlns="{package}/content-types"/>')
        root = f'<Relationship Id="r0" Type="{rel}/officeDocument" Target="xl/workbook.xml"/>'
        file.writestr("_rels/.rels", f'<Relationships xmlns="{package}/relationships">{root}</Relationships>')
        names = "".join(f'<sheet name="s{n}" sheetId="{n}" r:id="r{n}"/>' for n in numbers)
        file.writestr("xl/workbook.xml", f'<workbook {main} xmlns:r="{rel}"><sheets>{names}</sheets></workbook>')
        links = "".join(
            f'<Relationship Id="r{n}" Type="{rel}/worksheet" Target="worksheets/{n}.xml"/>' for n in numbers
        )
        file.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}/relationships">{links}</Relationships>'
        )
        for n, rows in zip(numbers, sheets, strict=True):
            file.writestr(f"xl/worksheets/{n}.xml", f"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>")
    return data.getvalue()


def test_a_workbook_gives_the_rows_of_its_first_sheet_with_pictures() -> None:
    def row(number: int, *cells: str | int) -> str:
        written = (
            f'<c r="{column}{number}"><v>{cell}</v></c>' if isinstance(cell, int)
            else f'<c r="{column}{number}" t="inlineStr"><is><t>{cell}</t></is></c>'
            for column, cell in zip("ABC", cells, strict=False)
        )  # fmt: skip
        return f'<row r="{number}">{"".join(written)}</row>'

    sheets = row(1, "Read me"), row(2, "Artikel", "") + row(3, "SKU", "Image URL") + row(4, 7, "a.jpg") + row(5, 8)
    items, said = found("a.xlsx", workbook(*sheets))
    assert items == [("7", "a.jpg")]
    assert said[-1].startswith("1 row has no picture")
    with pytest.raises(ManifestError, match=r"a\.xlsx: the workbook can't be read"):
        found("a.xlsx", b"PK")


@pytest.mark.parametrize("name", ["a.xml", "a.numbers"])
def test_of_lists_that_can_not_be_read_it_is_said_that_a_csv_is_wanted(name: str) -> None:
    with pytest.raises(ManifestError, match="save it as CSV"):
        found(name, "<rss/>")


def test_a_workbook_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    with pytest.raises(ManifestError, match="pip install python-calamine"):
        found("a.xlsx", b"")


def test_rows_without_a_picture_are_counted_and_short_ones_filled() -> None:
    items, said = found("a.csv", "sku,image,price\nA,a.jpg,1\nB,,2\nC\nD,d.jpg\n")
    assert items == [("A", "a.jpg"), ("D", "d.jpg")]
    assert said[1:] == ["2 rows have no picture, the first in a.csv:3; passed by."]


def test_a_row_that_makes_no_sense_fails_alone() -> None:
    bad = b'a.jpg,A\nb.jpg,B,x\nc.jpg,"C" x\nd\xff.jpg,D\ne.jpg,"E\nf.jpg,F\n'
    items = pairs("a.csv", b"image,id\n" + bad)
    assert [(own, text[:24]) for own, text in items] == [
        ("A", "a.jpg"),
        ("a.csv:3", "the row has 3 cells wher"),
        ("a.csv:4", "the row can't be read ('"),
        ("a.csv:5", "not valid UTF-8; save it"),
        ("a.csv:6", "the row can't be read (u"),
        ("F", "f.jpg"),
    ]
    items = pairs("a.jsonl", '{"image": "a.jpg"}\n{"image": }\n{"image": 5}\n{"image": "d.jpg", "output": "../d"}\n')
    assert [own for own, _ in items] == ["a.jpg", "a.jsonl:2", "a.jsonl:3", "a.jsonl:4"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "written",
    [" größe 1.jpg ", "größe 1.jpg\u00a0", '"größe 1.jpg"', "gr%C3%B6%C3%9Fe%201.jpg", ".\\größe 1.jpg", "FILE:{}"],
)
def test_a_file_is_found_however_its_path_is_written(form: Any, written: str) -> None:
    path = Path(unicodedata.normalize(form, "größe 1.jpg"))
    path.touch()
    [item] = read(["list.txt"], out=None) if Path("list.txt").write_text(written.format(path.resolve())) else []
    assert item.path is not None
    assert item.path.samefile(path)
    assert item.id == item.id.strip()


def test_a_file_that_has_the_odd_name_itself_is_taken_first() -> None:
    for name in (" a.jpg", "a.jpg"):
        Path(name).touch()
    assert pairs("a.txt", " a.jpg\na.jpg\n") == [(" a.jpg", " a.jpg"), ("a.jpg", "a.jpg")]


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("//cdn.shop/a.jpg", "https://cdn.shop/a.jpg"),
        ("www.shop.example/a.jpg", "https://www.shop.example/a.jpg"),
        ("//127.0.0.1:8000/a.jpg", "http://127.0.0.1:8000/a.jpg"),
        ("//localhost/a.jpg", "http://localhost/a.jpg"),
        ("//me:p@ss@cdn.shop/a.jpg", "https://me:p@ss@cdn.shop/a.jpg"),
        ("//server/share", "//server/share"),
        ("www.jpg", "www.jpg"),
        ("/abs/a.jpg", "/abs/a.jpg"),
    ],
)
def test_a_url_without_its_scheme_gets_one(written: str, url: str) -> None:
    assert as_url(written) == url


def test_paths_on_stdin_may_end_in_nul_whatever_they_hold() -> None:
    stdin = buffered(b"a.jpg\0# b\nc.jpg\0{d}.jpg\0caf\xe9.jpg\0")
    assert [item.id for item in read(["-"], out=None, stdin=stdin)] == [
        "a.jpg",
        "# b\nc.jpg",
        "{d}.jpg",
        r"caf\xe9.jpg",
    ]
