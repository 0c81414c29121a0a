"""The imports of staff: uploading a file, its preview, its progress, and the download of rejected rows."""

from pathlib import PurePath
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget

from core.admin import audit_log
from core.admin.capped_lists import ReadOnlyAdmin
from core.templatetags.display import moment, number
from customers import tasks
from customers.imports import upload_files, uploads
from customers.imports.csv_files import FORMATS
from customers.imports.formats import InvalidFile
from customers.models import Import

from . import contact_data, import_preview

POLL_SECONDS = 2
RECORD_LABELS = {
    "customers": "Customers",
    "orders": "Orders",
    "order_lines": "Order lines",
    "events": "Events",
}
REDIS_UNAVAILABLE = (
    "Redis is unavailable at the moment. The import starts as soon as a worker can be reached."
)
LABELS = {
    "uploaded": "warning",
    "waiting": "info",
    "running": "info",
    "done": "success",
    "failed": "danger",
    "cancelled": "primary",
}


class UploadForm(forms.Form):
    """The form to upload a file."""

    file = forms.FileField(
        label="CSV file or Excel workbook",
        widget=UnfoldAdminFileFieldWidget(
            attrs={"accept": ".csv,.txt,.tsv,text/csv,text/plain,.xlsx,.xls,.xlsb,.ods"}
        ),
        error_messages={
            "required": "Choose the file to import.",
            "empty": "The file is empty. Its first line must name the columns.",
        },
    )


@admin.register(Import)
class ImportAdmin(ReadOnlyAdmin):
    """The list of imports and the page of one."""

    list_display = ("file", "kind_", "state_", "rows", "refused_", "by", "uploaded")
    list_before_template = "customers/admin/no_imports.html"
    finished_template = ""
    """What another app adds to the page of a finished import. It sets ``reloads`` while it waits for something."""

    def get_urls(self) -> list[URLPattern]:
        """Add our own pages before Django's, whose pattern matches any text."""
        return [
            path(address, self.admin_site.admin_view(view), name=f"customers_import_{name}")
            for address, view, name in (
                ("<int:pk>/progress/", self.progress_view, "progress"),
                ("<int:pk>/start/", require_POST(self.start_view), "start"),
                ("<int:pk>/describe/", require_POST(self.describe_view), "describe"),
                ("<int:pk>/cancel/", require_POST(self.cancel_view), "cancel"),
                ("<int:pk>/refused.csv", self.refused_view, "refused"),
            )
        ] + super().get_urls()

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("customers.add_import")

    # -- The list

    @display(description="File")
    def file(self, upload: Import) -> str:
        return upload.name

    @display(description="Kind")
    def kind_(self, upload: Import) -> str:
        return FORMATS[upload.kind].label if upload.kind in FORMATS else "–"

    @display(description="State", label={str(Import.State(key).label): LABELS[key] for key in LABELS})
    def state_(self, upload: Import) -> str:
        return upload.get_state_display()

    @display(description="Rows")
    def rows(self, upload: Import) -> str:
        return number(upload.read)

    @display(description="Rejected")
    def refused_(self, upload: Import) -> str:
        return number(upload.refused)

    @display(description="Uploaded")
    def uploaded(self, upload: Import) -> str:
        return moment(upload.uploaded_at)

    # -- The pages

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            upload = self._store_upload(request, form)
            if upload:
                return redirect("admin:customers_import_change", upload.pk)
        context = self._context(request, "Import a file") | {"form": form, "formats": FORMATS.values()}
        return TemplateResponse(request, "customers/admin/import_add.html", context)

    def _store_upload(self, request: HttpRequest, form: UploadForm) -> Import | None:
        file: UploadedFile = form.cleaned_data["file"]
        try:
            upload = uploads.store_upload(
                file.name or "file.csv", file.chunks(), timezone.now(), by=request.user.get_username()
            )
        except InvalidFile as error:
            form.add_error("file", f"This file cannot be imported: {error}.")
            return None
        audit_log.log_additions(request, [upload], "Uploaded.")
        return upload

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """Show the preview before the import starts, and its progress afterwards."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        is_key = object_id.isascii() and object_id.isdigit() and len(object_id) < 19
        upload = get_object_or_404(self.get_queryset(request), pk=object_id if is_key else 0)
        context = self._context(request, upload.name) | self.progress_context(request, upload)
        if upload.state == Import.State.UPLOADED:
            context |= import_preview.preview_context(request, upload)
        return TemplateResponse(request, "customers/admin/import.html", context)

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the part of the page that changes, for htmx."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        upload = get_object_or_404(self.get_queryset(request), pk=pk)
        return TemplateResponse(
            request, "customers/admin/import_progress.html", self.progress_context(request, upload)
        )

    def describe_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Read the file as the form says, and show the preview again."""
        upload = self._get_import_to_change(request, pk)
        if problem := import_preview.describe(upload, request):
            messages.error(request, problem)
        return redirect("admin:customers_import_change", upload.pk)

    def start_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        upload = self._get_import_to_change(request, pk)
        if upload.state == Import.State.UPLOADED and (problem := import_preview.describe(upload, request)):
            messages.error(request, problem)
            return redirect("admin:customers_import_change", upload.pk)
        kind = FORMATS.get(upload.kind)
        problem = (
            "Choose the kind of file first." if kind is None else import_preview.problem_of(upload, kind)
        )
        if kind is None or problem:
            messages.error(request, problem)
        elif uploads.start_import(upload, kind, timezone.now()):
            audit_log.log_changes(request, [upload], f"Started, as {kind.label}.")
            try:
                tasks.run_imports.delay()
            except OperationalError:
                messages.warning(request, REDIS_UNAVAILABLE)
        return redirect("admin:customers_import_change", upload.pk)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        upload = self._get_import_to_change(request, pk)
        uploads.cancel_import(upload, timezone.now())
        audit_log.log_changes(request, [upload], "Cancelled.")
        return redirect("admin:customers_import_change", upload.pk)

    def refused_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        if not (self.has_view_permission(request) and contact_data.may_see(request)):
            raise PermissionDenied
        upload = get_object_or_404(self.get_queryset(request).exclude(stored=""), pk=pk)
        try:
            file = upload_files.rejected_rows_path(upload).open("rb")
        except FileNotFoundError:
            raise Http404(import_preview.FILE_DELETED) from None
        name = PurePath(upload.name).stem
        return FileResponse(
            file, as_attachment=True, filename=f"{name}-rejected.csv", content_type="text/csv; charset=utf-8"
        )

    def _get_import_to_change(self, request: HttpRequest, pk: int) -> Import:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "title": title, "opts": self.opts}

    def progress_context(self, request: HttpRequest, upload: Import) -> dict[str, Any]:
        waiting = Import.State.WAITING
        before: QuerySet[Import] = Import.objects.filter(state__in=(waiting, Import.State.RUNNING))
        return {
            "import": upload,
            "original": upload,
            "kind": FORMATS.get(upload.kind),
            "label": LABELS[upload.state],
            "seconds": POLL_SECONDS,
            "before": before.exclude(pk=upload.pk).filter(queued_at__lte=upload.queued_at).count()
            if upload.state == waiting and upload.queued_at
            else 0,
            "records": [
                (label, *upload.records[kind])
                for kind, label in RECORD_LABELS.items()  # a database may order the keys of JSON anew
                if kind in upload.records
            ],
            "finished_template": self.finished_template if upload.state == Import.State.DONE else "",
            "may_import": self.has_add_permission(request),
            "may_download": bool(upload.stored and upload.refused and contact_data.may_see(request)),
        }
